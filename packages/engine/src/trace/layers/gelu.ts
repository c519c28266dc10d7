/**
 * The exact GELU, x · Φ(x), with the gradient Φ(x) + x · φ(x).
 * Source: D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units", 2016.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import { gelu as compute } from '../own-kernels.js';

interface Activation {
  apply(x: tf.Tensor): tf.Tensor;
  getClassName(): string;
}

/** Replaces the activation of a layer that has it. */
export function replaceGelu(layer: tfl.layers.Layer): void {
  const activated = layer as tfl.layers.Layer & { activation?: Activation };
  const { activation } = activated;
  if (activation?.getClassName?.() !== 'gelu') return;
  activated.activation = { getClassName: () => activation.getClassName(), apply: gelu };
}

function gelu(x: tf.Tensor): tf.Tensor {
  const custom = tf.customGrad((...args) => {
    const [input] = args as tf.Tensor[];
    const save = args[1] as unknown as tf.GradSaveFunc;
    save([input]);
    return { value: compute(input), gradFunc: (dy: tf.Tensor, [saved]: tf.Tensor[]) => tf.mul(dy, slope(saved)) };
  });
  return custom(x);
}

function slope(x: tf.Tensor): tf.Tensor {
  const halved = tf.mul(x, Math.SQRT1_2);
  const density = tf.mul(x, tf.exp(tf.neg(tf.square(halved))));
  const cumulative = tf.add(tf.mul(tf.erf(halved), 0.5), 0.5);
  return tf.add(cumulative, tf.mul(density, 1 / Math.sqrt(2 * Math.PI)));
}
