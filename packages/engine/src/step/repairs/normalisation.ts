/**
 * Normalisations that tfjs cannot train as they are configured: batch normalisation without scale or offset, over another
 * axis than the last, or of more than four axes; layer normalisation without scale or offset.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import { type Repair, withProperties } from './repair.js';

interface NormalisationLayer extends tfl.layers.Layer {
  readonly axis: number | number[];
  readonly scale: boolean;
  readonly center: boolean;
  gamma?: Pick<tfl.LayerVariable, 'read'> | null;
  beta?: Pick<tfl.LayerVariable, 'read'> | null;
}

/** The most axes that tfjs's batch normalisation takes. */
const MOST_AXES = 4;

/** Stands for the scale or offset that the layer does not have. */
const constant = (value: number, shape: number[]) => ({ read: () => tf.fill(shape, value) });

export const batchNorm: Repair = (layer, own) => {
  const norm = layer as NormalisationLayer;
  return (inputs, options) => {
    const [x] = [inputs].flat();
    const axis = ((norm.axis as number) + x.rank) % x.rank;
    norm.gamma ??= constant(1, [x.shape[axis]]);
    norm.beta ??= constant(0, [x.shape[axis]]);
    if (axis === x.rank - 1 && x.rank <= MOST_AXES) return own(inputs, options);
    return tf.tidy(() => {
      const last = tf.transpose(x, moved(x.rank, axis, x.rank - 1));
      const rows = tf.reshape(last, [-1, x.shape[axis]]);
      const normal = withProperties(norm, { axis: -1 }, () => own(rows, options)) as tf.Tensor;
      return tf.transpose(tf.reshape(normal, last.shape), moved(x.rank, x.rank - 1, axis));
    });
  };
};

/** The order of axes in which one has moved to another place. */
function moved(rank: number, from: number, to: number): number[] {
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  axes.splice(to, 0, ...axes.splice(from, 1));
  return axes;
}

export const layerNorm: Repair = (layer, own) => {
  const norm = layer as NormalisationLayer;
  if (norm.scale && norm.center) return undefined;
  return (inputs, options) => {
    const { shape } = [inputs].flat()[0];
    const extents = [norm.axis].flat().map((axis) => shape[axis]);
    norm.gamma ??= constant(1, extents);
    norm.beta ??= constant(0, extents);
    return withProperties(norm, { scale: true, center: true }, () => own(inputs, options));
  };
};
