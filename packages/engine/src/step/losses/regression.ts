/** Losses of numbers. */
import { tf } from '../../tensors.js';
import { EPSILON, type LossRule, likeOutput } from './loss.js';

const difference = (output: tf.Tensor, target: tf.Tensor): tf.Tensor => tf.sub(output, likeOutput(target, output));

export const meanSquaredError: LossRule<'meanSquaredError'> = {
  perPlace: (output, target) => tf.square(difference(output, target)),
};

export const meanAbsoluteError: LossRule<'meanAbsoluteError'> = {
  perPlace: (output, target) => tf.abs(difference(output, target)),
};

/** Quadratic up to a difference of delta, linear beyond. Source: P. Huber, "Robust Estimation of a Location Parameter", 1964. */
export const huber: LossRule<'huber'> = {
  perPlace(output, target, { spec: { delta } }) {
    const size = tf.abs(difference(output, target));
    const quadratic = tf.minimum(size, delta);
    const linear = tf.sub(size, quadratic);
    return tf.add(tf.mul(tf.square(quadratic), 0.5), delta === 1 ? linear : tf.mul(linear, delta));
  },
};

/** log cosh(d) = |d| + log(1 + e^−2|d|) − log 2, which overflows nowhere; its gradient is tanh(d). */
export const logCosh: LossRule<'logCosh'> = {
  perPlace(output, target) {
    const custom = tf.customGrad((x, save) => {
      const d = x as tf.Tensor;
      (save as tf.GradSaveFunc)([d]);
      const size = tf.abs(d);
      const value = tf.sub(tf.add(size, tf.log1p(tf.exp(tf.mul(size, -2)))), Math.LN2);
      return { value, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.mul(dy, tf.tanh(saved[0])) };
    });
    return custom(difference(output, target));
  },
};

/** output − target · log(output): the likelihood of counts whose mean is the output, up to a constant. */
export const poisson: LossRule<'poisson'> = {
  perPlace: (output, target) => tf.sub(output, tf.mul(likeOutput(target, output), tf.log(tf.add(output, EPSILON)))),
};
