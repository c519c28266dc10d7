/**
 * Losses, one value a sample: the mean over whatever axes an output has beside the batch axis, as in Keras.
 *
 * Outputs are float32 [count, …]; class targets are int32 without the last axis, or float32 one-hot (or any distribution).
 */
import type { RunSpec } from '@coord/protocol';
import { tf } from '../tensors.js';

export interface LossRule {
  /** Activation whose input (the logits) this loss prefers to its output. */
  readonly logitsOf?: string;
  /** float32 [count]. */
  perSample(output: tf.Tensor, target: tf.Tensor, isLogits: boolean): tf.Tensor;
  /** float32 [count]: 1 where the largest output is the target (a share, where a sample has several); absent where that has no meaning. */
  correct?(output: tf.Tensor, target: tf.Tensor): tf.Tensor;
}

/** Keras's guard against log(0). */
const EPSILON = 1e-7;

/** Mean over all axes but the first. */
export function meanPerSample(values: tf.Tensor): tf.Tensor {
  if (values.rank === 1) return values;
  const count = values.shape[0];
  const flat = tf.reshape(values, [count, values.size / count]);
  return tf.mul(tf.sum(flat, 1), count / values.size);
}

function asDistribution(target: tf.Tensor, output: tf.Tensor): tf.Tensor {
  if (target.dtype !== 'int32') return target;
  const labels = target.shape.at(-1) === 1 && target.rank === output.rank ? tf.squeeze(target, [-1]) : target;
  return tf.cast(tf.oneHot(labels as tf.Tensor1D, output.shape.at(-1) as number), 'float32');
}

const classOf = (target: tf.Tensor, output: tf.Tensor): tf.Tensor => {
  if (target.dtype !== 'int32') return tf.argMax(target, -1);
  return target.rank === output.rank ? tf.squeeze(target, [-1]) : target;
};

/** −Σ target · log softmax(logits) over the last axis; its gradient is (softmax − target), without a detour. */
function crossEntropyOfLogits(logits: tf.Tensor, distribution: tf.Tensor): tf.Tensor {
  const custom = tf.customGrad((x, y, save) => {
    const [scores, wanted] = [x as tf.Tensor, y as tf.Tensor];
    const shifted = tf.sub(scores, tf.max(scores, -1, true));
    const logSum = tf.log(tf.sum(tf.exp(shifted), -1, true));
    const logProbabilities = tf.sub(shifted, logSum);
    const mass = tf.sum(wanted, -1, true);
    (save as tf.GradSaveFunc)([logProbabilities, wanted, mass]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [logs, target, total] = saved;
      const slope = tf.sub(tf.mul(tf.exp(logs), total), target);
      return [tf.mul(tf.expandDims(dy, -1), slope), tf.zerosLike(target)];
    };
    return { value: tf.neg(tf.sum(tf.mul(wanted, logProbabilities), -1)), gradFunc };
  });
  return custom(logits, distribution);
}

function crossEntropyOfProbabilities(output: tf.Tensor, distribution: tf.Tensor): tf.Tensor {
  const normalised = tf.div(output, tf.sum(output, -1, true));
  const safe = tf.clipByValue(normalised, EPSILON, 1 - EPSILON);
  return tf.neg(tf.sum(tf.mul(distribution, tf.log(safe)), -1));
}

const categoricalCrossentropy: LossRule = {
  logitsOf: 'softmax',
  perSample(output, target, isLogits) {
    const distribution = asDistribution(target, output);
    const crossEntropy = isLogits ? crossEntropyOfLogits : crossEntropyOfProbabilities;
    return meanPerSample(crossEntropy(output, distribution));
  },
  correct: (output, target) =>
    meanPerSample(tf.cast(tf.equal(tf.argMax(output, -1), classOf(target, output)), 'float32')),
};

const meanSquaredError: LossRule = {
  perSample: (output, target) => meanPerSample(tf.squaredDifference(output, tf.cast(target, 'float32'))),
};

export const LOSS_RULES: Readonly<Record<RunSpec['loss'], LossRule>> = { categoricalCrossentropy, meanSquaredError };
