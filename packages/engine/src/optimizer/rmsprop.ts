import { flush, type Kernel, type KernelName, safeEpsilon, type UpdateRule } from './rule.js';

const { fround, max, sqrt } = Math;

export interface RmspropOptions {
  readonly decay: number;
  readonly momentum: number;
  readonly epsilon: number;
  readonly centered: boolean;
}

/**
 * s ← ρ·s + (1−ρ)·g², u = η·g ÷ √(s + ε), w ← w − u; with momentum a ← μ·a + u, w ← w − a; centered, the mean gradient's
 * square is taken off s, which makes it a variance.
 *
 * Source: T. Tieleman and G. Hinton, "Lecture 6.5: RMSProp", COURSERA 2012; centered after A. Graves, arXiv:1308.0850.
 * One difference to tfjs: there the centered variance *loses* ε under the root, which is not a number wherever gradients
 * are small; here, as in TensorFlow and Keras, it gains ε.
 */
export const rmspropRule = ({ decay, momentum, epsilon, centered }: RmspropOptions): UpdateRule => ({
  kernel: kernelName(centered, momentum > 0),
  slotNames: ['meanSquare', ...(centered ? ['meanGradient'] : []), ...(momentum > 0 ? ['momentum'] : [])],
  scalars: (_step, learningRate) => [learningRate, decay, 1 - decay, safeEpsilon(epsilon), momentum],
});

function kernelName(centered: boolean, withMomentum: boolean): KernelName {
  if (centered) return withMomentum ? 'rmspropCenteredMomentum' : 'rmspropCentered';
  return withMomentum ? 'rmspropMomentum' : 'rmsprop';
}

/** ρ·mean + (1−ρ)·value */
const blend = (mean: number, value: number, keep: number, take: number): number =>
  flush(fround(fround(mean * keep) + fround(value * take)));

const variance = (meanSquare: number, meanGradient: number): number =>
  max(fround(meanSquare - fround(meanGradient * meanGradient)), 0);

export const rmsprop: Kernel = ([weights, gradients, squares], scalars) => {
  const [rate, keep, take, epsilon] = scalars.map(fround);
  for (let i = 0; i < weights.length; i++) {
    const gradient = gradients[i];
    squares[i] = blend(squares[i], fround(gradient * gradient), keep, take);
    const change = fround(fround(gradient * rate) / fround(sqrt(fround(squares[i] + epsilon))));
    weights[i] = fround(weights[i] - change);
  }
};

export const rmspropMomentum: Kernel = ([weights, gradients, squares, accumulated], scalars) => {
  const [rate, keep, take, epsilon, mu] = scalars.map(fround);
  for (let i = 0; i < weights.length; i++) {
    const gradient = gradients[i];
    squares[i] = blend(squares[i], fround(gradient * gradient), keep, take);
    const change = fround(fround(gradient * rate) / fround(sqrt(fround(squares[i] + epsilon))));
    accumulated[i] = flush(fround(fround(accumulated[i] * mu) + change));
    weights[i] = fround(weights[i] - accumulated[i]);
  }
};

export const rmspropCentered: Kernel = ([weights, gradients, squares, means], scalars) => {
  const [rate, keep, take, epsilon] = scalars.map(fround);
  for (let i = 0; i < weights.length; i++) {
    const gradient = gradients[i];
    squares[i] = blend(squares[i], fround(gradient * gradient), keep, take);
    means[i] = blend(means[i], gradient, keep, take);
    const deviation = fround(sqrt(fround(variance(squares[i], means[i]) + epsilon)));
    weights[i] = fround(weights[i] - fround(fround(gradient * rate) / deviation));
  }
};

export const rmspropCenteredMomentum: Kernel = ([weights, gradients, squares, means, accumulated], scalars) => {
  const [rate, keep, take, epsilon, mu] = scalars.map(fround);
  for (let i = 0; i < weights.length; i++) {
    const gradient = gradients[i];
    squares[i] = blend(squares[i], fround(gradient * gradient), keep, take);
    means[i] = blend(means[i], gradient, keep, take);
    const deviation = fround(sqrt(fround(variance(squares[i], means[i]) + epsilon)));
    const change = fround(fround(gradient * rate) / deviation);
    accumulated[i] = flush(fround(fround(accumulated[i] * mu) + change));
    weights[i] = fround(weights[i] - accumulated[i]);
  }
};
