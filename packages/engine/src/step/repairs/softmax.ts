/** Softmax over another axis than the last, which is all that tfjs knows. */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import type { Repair } from './repair.js';

interface SoftmaxLayer extends tfl.layers.Layer {
  readonly axis: number | number[];
}

export const softmax: Repair = (layer, own) => {
  const axes = [(layer as SoftmaxLayer).axis].flat();
  if (axes.length !== 1 || axes[0] === -1) return undefined;
  return (inputs, options) => {
    const [x] = [inputs].flat();
    const axis = (axes[0] + x.rank) % x.rank;
    if (axis === x.rank - 1 || options?.mask) return own(inputs, options);
    const swapped = x.shape.map((_, index) => (index === axis ? x.rank - 1 : index === x.rank - 1 ? axis : index));
    return tf.tidy(() => tf.transpose(tf.softmax(tf.transpose(x, swapped)), swapped));
  };
};
