/** Losses of distributions over classes (the last axis). */
import { tf } from '../../tensors.js';
import { hasOwnKernels, sparseCrossEntropy } from '../../trace/own-kernels.js';
import { EPSILON, type LossRule, likeOutput, meanPerSample } from './loss.js';

/** int32 labels, without an axis of extent 1 that a dataset may carry. */
const labelsOf = (target: tf.Tensor, output: tf.Tensor): tf.Tensor =>
  target.rank === output.rank ? tf.squeeze(target, [-1]) : target;

function asDistribution(target: tf.Tensor, output: tf.Tensor): tf.Tensor {
  if (target.dtype !== 'int32') return target;
  return tf.cast(tf.oneHot(labelsOf(target, output) as tf.Tensor1D, output.shape.at(-1) as number), 'float32');
}

const classOf = (target: tf.Tensor, output: tf.Tensor): tf.Tensor =>
  target.dtype === 'int32' ? labelsOf(target, output) : tf.argMax(target, -1);

/** Of the target's class; of the likeliest one, where the target is a distribution. */
const classWeights: LossRule['classWeights'] = (output, target, weights) =>
  tf.gather(tf.tensor1d([...weights], 'float32'), tf.cast(classOf(target, output), 'int32') as tf.Tensor1D);

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

/** Labels need not become distributions where a kernel takes them as they are. */
const labelledCrossEntropy = (output: tf.Tensor, target: tf.Tensor, isLogits: boolean): tf.Tensor | undefined =>
  isLogits && target.dtype === 'int32' && hasOwnKernels()
    ? sparseCrossEntropy(output, labelsOf(target, output))
    : undefined;

const crossEntropy = (output: tf.Tensor, wanted: tf.Tensor, isLogits: boolean): tf.Tensor =>
  isLogits ? crossEntropyOfLogits(output, wanted) : crossEntropyOfProbabilities(output, wanted);

/** Smoothing moves a distribution towards the uniform one. */
function smoothed(distribution: tf.Tensor, share: number): tf.Tensor {
  if (share === 0) return distribution;
  return tf.add(tf.mul(distribution, 1 - share), share / (distribution.shape.at(-1) as number));
}

const hits = (output: tf.Tensor, target: tf.Tensor): tf.Tensor =>
  meanPerSample(tf.cast(tf.equal(tf.argMax(output, -1), classOf(target, output)), 'float32'));

export const categoricalCrossentropy: LossRule<'categoricalCrossentropy'> = {
  logitsOf: 'softmax',
  perPlace: (output, target, { spec, isLogits }) =>
    (spec.labelSmoothing === 0 ? labelledCrossEntropy(output, target, isLogits) : undefined) ??
    crossEntropy(output, smoothed(asDistribution(target, output), spec.labelSmoothing), isLogits),
  classWeights,
  correct: hits,
};

export const sparseCategoricalCrossentropy: LossRule<'sparseCategoricalCrossentropy'> = {
  logitsOf: 'softmax',
  perPlace: (output, target, { isLogits }) =>
    labelledCrossEntropy(output, target, isLogits) ?? crossEntropy(output, asDistribution(target, output), isLogits),
  classWeights,
  correct: hits,
};

/** Σ target · log(target / output). */
export const klDivergence: LossRule<'klDivergence'> = {
  perPlace(output, target) {
    const wanted = tf.clipByValue(asDistribution(target, output), EPSILON, 1);
    const given = tf.clipByValue(output, EPSILON, 1);
    return tf.sum(tf.mul(wanted, tf.log(tf.div(wanted, given))), -1);
  },
  classWeights,
  correct: hits,
};

/** max(0, 1 + the largest output of the other classes − the target's output). */
export const categoricalHinge: LossRule<'categoricalHinge'> = {
  perPlace(output, target) {
    const wanted = asDistribution(target, output);
    const own = tf.sum(tf.mul(wanted, output), -1);
    const others = tf.max(tf.mul(tf.sub(1, wanted), output), -1);
    return tf.relu(tf.add(tf.sub(others, own), 1));
  },
  classWeights,
  correct: hits,
};

/** − cosine of the angle between target and output. */
export const cosineProximity: LossRule<'cosineProximity'> = {
  perPlace(output, target) {
    const product = tf.mul(unitVector(likeOutput(target, output)), unitVector(output));
    return tf.neg(tf.sum(product, -1));
  },
};

const unitVector = (x: tf.Tensor): tf.Tensor => tf.div(x, tf.sqrt(tf.maximum(tf.sum(tf.square(x), -1, true), EPSILON)));
