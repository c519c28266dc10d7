/**
 * The exact GELU, x · Φ(x), with the gradient Φ(x) + x · φ(x).
 * Source: D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units", 2016.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import { gelu as compute, geluGradient } from '../own-kernels.js';

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
    return { value: compute(input), gradFunc: (dy: tf.Tensor, [saved]: tf.Tensor[]) => geluGradient(saved, dy) };
  });
  return custom(x);
}
