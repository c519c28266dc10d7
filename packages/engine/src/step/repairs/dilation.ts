/**
 * Dilated convolutions: tfjs has no gradient for them. In training the filter is spread instead, zeros between its places,
 * and convolved as it is; what leads to the filter's gradient then drops what the zeros would get.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import { type Repair, withProperties } from './repair.js';

interface ConvolutionLayer extends tfl.layers.Layer {
  readonly dilationRate: number | number[];
  readonly kernel?: tfl.LayerVariable;
  /** A separable convolution's; only this part is dilated. */
  readonly depthwiseKernel?: tfl.LayerVariable;
}

export const dilation: Repair = (layer, own) => {
  const { dilationRate } = layer as ConvolutionLayer;
  const rates = [dilationRate].flat();
  if (rates.every((rate) => rate === 1)) return undefined;
  return (inputs, options) => {
    if (!options?.training) return own(inputs, options);
    const { kernel, depthwiseKernel } = layer as ConvolutionLayer;
    const dilated = depthwiseKernel ?? (kernel as tfl.LayerVariable);
    const spreadKernel = { read: () => spread(dilated.read(), rates) };
    const key = depthwiseKernel ? 'depthwiseKernel' : 'kernel';
    const values = { [key]: spreadKernel, dilationRate: rates.map(() => 1) };
    return withProperties(layer, values, () => tf.tidy(() => own(inputs, options)));
  };
};

/** Puts rate − 1 zeros between the places of each of the filter's first axes. */
function spread(filter: tf.Tensor, rates: readonly number[]): tf.Tensor {
  return rates.reduce((kernel, rate, axis) => spreadAlong(kernel, axis, rate), filter);
}

function spreadAlong(filter: tf.Tensor, axis: number, rate: number): tf.Tensor {
  const { shape } = filter;
  const widened = [...shape.slice(0, axis + 1), 1, ...shape.slice(axis + 1)];
  const paddings = widened.map((_, index): [number, number] => (index === axis + 1 ? [0, rate - 1] : [0, 0]));
  const merged = shape.map((extent, index) => (index === axis ? extent * rate : extent));
  const padded = tf.reshape(tf.pad(tf.reshape(filter, widened), paddings), merged);
  // After the last place come no zeros.
  const size = merged.map((extent, index) => (index === axis ? extent - rate + 1 : extent));
  return tf.slice(
    padded,
    size.map(() => 0),
    size,
  );
}
