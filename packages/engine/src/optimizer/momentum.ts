import { flush, type Kernel, type UpdateRule } from './rule.js';

const { fround } = Math;

export interface MomentumOptions {
  readonly momentum: number;
  readonly nesterov: boolean;
}

/**
 * a ← μ·a + g, then w ← w − η·a; with Nesterov's look-ahead w ← w − η·(g + μ·a).
 *
 * Source: I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, in the form
 * that TensorFlow and PyTorch use (the rate stands outside the accumulator).
 */
export const momentumRule = ({ momentum, nesterov }: MomentumOptions): UpdateRule => ({
  kernel: nesterov ? 'nesterov' : 'momentum',
  slotNames: ['momentum'],
  scalars: (_step, learningRate) => [learningRate, momentum],
});

export const momentum: Kernel = ([weights, gradients, accumulated], [learningRate, factor]) => {
  const rate = fround(learningRate);
  const mu = fround(factor);
  for (let i = 0; i < weights.length; i++) {
    const sum = flush(fround(fround(accumulated[i] * mu) + gradients[i]));
    accumulated[i] = sum;
    weights[i] = fround(weights[i] - fround(sum * rate));
  }
};

export const nesterov: Kernel = ([weights, gradients, accumulated], [learningRate, factor]) => {
  const rate = fround(learningRate);
  const mu = fround(factor);
  for (let i = 0; i < weights.length; i++) {
    const sum = flush(fround(fround(accumulated[i] * mu) + gradients[i]));
    accumulated[i] = sum;
    const ahead = fround(gradients[i] + fround(sum * mu));
    weights[i] = fround(weights[i] - fround(ahead * rate));
  }
};
