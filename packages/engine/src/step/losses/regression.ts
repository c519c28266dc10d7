/** Losses of numbers. */
import { tf } from '../../tensors.js';
import { type LossRule, likeOutput, meanPerSample } from './loss.js';

const difference = (output: tf.Tensor, target: tf.Tensor): tf.Tensor => tf.sub(output, likeOutput(target, output));

export const meanSquaredError: LossRule = {
  perSample: (output, target) => meanPerSample(tf.square(difference(output, target))),
};

export const meanAbsoluteError: LossRule = {
  perSample: (output, target) => meanPerSample(tf.abs(difference(output, target))),
};

/** Quadratic up to a difference of 1, linear beyond. Source: P. Huber, "Robust Estimation of a Location Parameter", 1964. */
export const huber: LossRule = {
  perSample(output, target) {
    const size = tf.abs(difference(output, target));
    const quadratic = tf.minimum(size, 1);
    const linear = tf.sub(size, quadratic);
    return meanPerSample(tf.add(tf.mul(tf.square(quadratic), 0.5), linear));
  },
};
