/** Cropping to the centre: tfjs's crop has no gradient; taking the same rows and columns has one. */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import type { Repair } from './repair.js';

interface CenterCropLayer extends tfl.layers.Layer {
  readonly height: number;
  readonly width: number;
}

export const centerCrop: Repair = (layer, own) => {
  const { height, width } = layer as CenterCropLayer;
  return (inputs, options) => {
    const [x] = [inputs].flat() as tf.Tensor4D[];
    if (x.rank !== 4 || x.shape[1] < height || x.shape[2] < width) return own(inputs, options);
    return tf.tidy(() => {
      const rows = tf.gather(x, tf.tensor1d(placesOf(x.shape[1], height, 0), 'int32'), 1);
      return tf.gather(rows, tf.tensor1d(placesOf(x.shape[2], width, 1), 'int32'), 2);
    });
  };
};

/**
 * Which places along an axis tf.layers takes: its box is measured against the extent, the crop against the extent − 1.
 *
 * @param least it starts a crop of columns no further left than this, unless nothing is cropped.
 */
function placesOf(extent: number, size: number, least: number): number[] {
  const start = extent === size ? 0 : Math.max(least, Math.floor((extent - size) / 2));
  // tfjs keeps the box's edges in float32.
  const [from, to] = [start, start + size].map((edge) => Math.fround(edge / extent) * (extent - 1));
  if (size === 1) return [Math.round((from + to) / 2)];
  return Array.from({ length: size }, (_, index) => Math.round(from + (index * (to - from)) / (size - 1)));
}
