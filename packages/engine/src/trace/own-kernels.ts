/**
 * Kernels that tfjs does not have and that are computed in one go, by ONNX Runtime or by kernels of ours. Only formulas below `trace/layers` use them, inside
 * `tf.customGrad`, so they need no gradients.
 */
import { tf } from '../tensors.js';

/** x · scale + shift, where scale and shift have one element a channel (the last axis). */
export function channelAffine(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor): tf.Tensor {
  return run('ChannelAffine', { x, scale, shift })[0];
}

export interface Normalised {
  /** (x − mean) · inverse · scale + offset */
  readonly y: tf.Tensor;
  /** Extent 1 along the last axis. */
  readonly mean: tf.Tensor;
  /** 1 / √(variance + epsilon) */
  readonly inverse: tf.Tensor;
}

/** Layer normalisation over the last axis. */
export function layerNorm(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: number): Normalised {
  const [y, mean, inverse] = run('LayerNorm', { x, scale, offset }, { epsilon });
  return { y, mean, inverse };
}

/** x · Φ(x), Φ the normal distribution. */
export const gelu = (x: tf.Tensor): tf.Tensor => run('Gelu', { x })[0];

/** dy · (Φ(x) + x · φ(x)). */
export const geluGradient = (x: tf.Tensor, dy: tf.Tensor): tf.Tensor => run('GeluGradient', { x, dy })[0];

function run(kernel: string, inputs: Record<string, tf.Tensor>, attrs: Record<string, number> = {}): tf.Tensor[] {
  const outputs: tf.Tensor | tf.Tensor[] = tf.engine().runKernel(kernel, inputs, attrs);
  return [outputs].flat();
}
