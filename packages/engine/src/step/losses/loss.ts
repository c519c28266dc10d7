/**
 * Losses: one value a place, and from them one a sample: the mean over the places of a sample, as in Keras.
 *
 * Outputs are float32 [count, …]. Class targets are int32 without the last axis, or float32 one-hot (or any distribution);
 * other targets have as many elements as the output.
 */
import type { LossName, LossSpec } from '@coord/protocol';
import { tf } from '../../tensors.js';

/** The options of a loss, and whether its output stands before the softmax or sigmoid. */
export interface LossContext<Name extends LossName = LossName> {
  readonly spec: Extract<LossSpec, { name: Name }>;
  readonly isLogits: boolean;
}

export interface LossRule<Name extends LossName = LossName> {
  /** Activation whose input (the logits) this loss prefers to its output. */
  readonly logitsOf?: 'softmax' | 'sigmoid';
  /** float32 [count, …]: one a label, or one an element. */
  perPlace(output: tf.Tensor, target: tf.Tensor, context: LossContext<Name>): tf.Tensor;
  /** float32, like `perPlace`: each place's class weight; absent where targets are no classes. */
  classWeights?(output: tf.Tensor, target: tf.Tensor, weights: readonly number[]): tf.Tensor;
  /** float32 [count]: 1 where the output says what the target says (a share, where a sample has several places); absent where that has no meaning. */
  correct?(output: tf.Tensor, target: tf.Tensor, isLogits: boolean): tf.Tensor;
}

/** Keras's guard against log(0) and division by 0. */
export const EPSILON = 1e-7;

/** Mean over all axes but the first. */
export function meanPerSample(values: tf.Tensor): tf.Tensor {
  if (values.rank === 1) return values;
  const count = values.shape[0] as number;
  const flat = tf.reshape(values, [count, values.size / count]);
  return tf.mul(tf.sum(flat, 1), count / values.size);
}

/** The target as float32 in the output's shape. */
export const likeOutput = (target: tf.Tensor, output: tf.Tensor): tf.Tensor =>
  tf.reshape(tf.cast(target, 'float32'), output.shape);
