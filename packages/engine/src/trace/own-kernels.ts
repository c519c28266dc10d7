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

/** Gradients of layer normalisation. */
export interface NormalisedGradient {
  readonly dx: tf.Tensor;
  readonly dScale: tf.Tensor;
  readonly dOffset: tf.Tensor;
}

/** @param normalised mean and inverse as `layerNorm` gave them for `x`. */
export function layerNormGradient(
  dy: tf.Tensor,
  x: tf.Tensor,
  { mean, inverse }: Pick<Normalised, 'mean' | 'inverse'>,
  scale: tf.Tensor,
): NormalisedGradient {
  const [dx, dScale, dOffset] = run('LayerNormGradient', { dy, x, mean, inverse, scale });
  return { dx, dScale, dOffset };
}

/** True where the kernels of this file are: in a trace. */
export const hasOwnKernels = (): boolean => tf.getKernel('CrossEntropy', tf.getBackend()) !== undefined;

/** −log softmax(logits)[label] of each place, 0 where there is no such label; the last axis has the classes. */
export function sparseCrossEntropy(logits: tf.Tensor, labels: tf.Tensor): tf.Tensor {
  const custom = tf.customGrad((...args) => {
    const [scores, wanted] = args as tf.Tensor[];
    const save = args[2] as unknown as tf.GradSaveFunc;
    const [losses, largest, inverse] = run('CrossEntropy', { logits: scores, labels: wanted });
    save([scores, wanted, largest, inverse]);
    const gradFunc = (dy: tf.Tensor, [x, y, largests, inverses]: tf.Tensor[]) => [
      run('CrossEntropyGradient', { logits: x, labels: y, largest: largests, inverse: inverses, dy })[0],
      tf.zerosLike(y),
    ];
    return { value: losses, gradFunc };
  });
  return custom(logits, labels);
}

function run(kernel: string, inputs: Record<string, tf.Tensor>, attrs: Record<string, number> = {}): tf.Tensor[] {
  const outputs: tf.Tensor | tf.Tensor[] = tf.engine().runKernel(kernel, inputs, attrs);
  return [outputs].flat();
}
