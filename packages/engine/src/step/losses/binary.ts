/** Losses of yes-or-no outputs. Targets are 0 or 1. */
import { tf } from '../../tensors.js';
import { EPSILON, type LossRule, likeOutput, meanPerSample } from './loss.js';

/** max(x, 0) − x · z + log(1 + e^−|x|), which overflows nowhere; its gradient is sigmoid(x) − z. */
function crossEntropyOfLogits(logits: tf.Tensor, wanted: tf.Tensor): tf.Tensor {
  const custom = tf.customGrad((x, z, save) => {
    const [scores, target] = [x as tf.Tensor, z as tf.Tensor];
    (save as tf.GradSaveFunc)([scores, target]);
    const linear = tf.sub(tf.relu(scores), tf.mul(scores, target));
    const value = tf.add(linear, tf.log1p(tf.exp(tf.neg(tf.abs(scores)))));
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => [
      tf.mul(dy, tf.sub(tf.sigmoid(saved[0]), saved[1])),
      tf.zerosLike(saved[1]),
    ];
    return { value, gradFunc };
  });
  return custom(logits, wanted);
}

function crossEntropyOfProbabilities(output: tf.Tensor, wanted: tf.Tensor): tf.Tensor {
  const safe = tf.clipByValue(output, EPSILON, 1 - EPSILON);
  const yes = tf.mul(wanted, tf.log(safe));
  const no = tf.mul(tf.sub(1, wanted), tf.log(tf.sub(1, safe)));
  return tf.neg(tf.add(yes, no));
}

const agreement = (saysYes: tf.Tensor, wanted: tf.Tensor): tf.Tensor =>
  meanPerSample(tf.cast(tf.equal(tf.cast(saysYes, 'float32'), wanted), 'float32'));

/** Of 0 and of 1; a target between them has a weight between theirs. */
const classWeights: LossRule['classWeights'] = (output, target, [no, yes]) =>
  tf.add(tf.mul(likeOutput(target, output), yes - no), no);

/** Smoothing moves 0 and 1 towards one half. */
function smoothed(wanted: tf.Tensor, share: number): tf.Tensor {
  return share === 0 ? wanted : tf.add(tf.mul(wanted, 1 - share), share / 2);
}

export const binaryCrossentropy: LossRule<'binaryCrossentropy'> = {
  logitsOf: 'sigmoid',
  perPlace(output, target, { spec, isLogits }) {
    const crossEntropy = isLogits ? crossEntropyOfLogits : crossEntropyOfProbabilities;
    return crossEntropy(output, smoothed(likeOutput(target, output), spec.labelSmoothing));
  },
  classWeights,
  correct: (output, target, isLogits) => agreement(tf.greater(output, isLogits ? 0 : 0.5), likeOutput(target, output)),
};

/** max(0, 1 − y · output), where a target of 0 counts as y = −1. */
function margin(output: tf.Tensor, target: tf.Tensor): tf.Tensor {
  const sides = tf.sub(tf.mul(likeOutput(target, output), 2), 1);
  return tf.relu(tf.sub(1, tf.mul(sides, output)));
}

export const hinge: LossRule<'hinge'> = {
  perPlace: margin,
  classWeights,
  correct: (output, target) => agreement(tf.greater(output, 0), likeOutput(target, output)),
};

export const squaredHinge: LossRule<'squaredHinge'> = {
  ...hinge,
  perPlace: (output, target) => tf.square(margin(output, target)),
};
