/**
 * Layer normalisation over the last axis with its gradient in closed form.
 * Source: J. Ba et al., "Layer Normalization", 2016.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import { layerNorm as normalise } from '../own-kernels.js';
import type { LayerFormula } from './formula.js';

interface LayerNormLayer extends tfl.layers.Layer {
  readonly axis: number | number[];
  readonly epsilon: number;
  readonly gamma?: tfl.LayerVariable;
  readonly beta?: tfl.LayerVariable;
}

export const layerNorm: LayerFormula = (layer, [x]) => {
  const { axis, epsilon, gamma, beta } = layer as LayerNormLayer;
  const axes = [axis].flat();
  const isLastAxis = axes.length === 1 && (axes[0] === -1 || axes[0] === x.rank - 1);
  if (!isLastAxis || !gamma || !beta) return undefined;
  const custom = tf.customGrad((...args) => {
    const [input, scale, offset] = args as tf.Tensor[];
    const save = args[3] as unknown as tf.GradSaveFunc;
    const { y, mean, inverse } = normalise(input, scale, offset, epsilon);
    save([input, mean, inverse, scale]);
    return { value: y, gradFunc: gradients };
  });
  return custom(x, gamma.read(), beta.read());
};

/** With n = (x − mean) · r and g = dy · γ: dx = r · (g − mean(g) − n · mean(g · n)); row means are products with γ. */
function gradients(dy: tf.Tensor, [x, mean, inverse, scale]: tf.Tensor[]): tf.Tensor[] {
  const width = x.shape[x.rank - 1];
  const rows = x.size / width;
  const matrix = (tensor: tf.Tensor, columns: number) => tf.reshape(tensor, [rows, columns]) as tf.Tensor2D;
  const slopes = matrix(dy, width);
  const centred = tf.sub(matrix(x, width), matrix(mean, 1));
  const normal = tf.mul(centred, matrix(inverse, 1));
  const products = tf.mul(slopes, normal) as tf.Tensor2D;
  const column = tf.mul(tf.reshape(scale, [width, 1]), 1 / width) as tf.Tensor2D;
  const meanSlope = tf.matMul(slopes, column);
  const meanProduct = tf.matMul(products, column);
  const direct = tf.sub(tf.mul(slopes, scale), meanSlope);
  const dx = tf.mul(tf.sub(direct, tf.mul(normal, meanProduct)), matrix(inverse, 1));
  return [tf.reshape(dx, x.shape), tf.sum(products, 0), tf.sum(slopes, 0)];
}
