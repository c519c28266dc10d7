import type { Kernel, UpdateRule } from './rule.js';

const { fround } = Math;

/** w ← w − η·g */
export const sgdRule = (): UpdateRule => ({
  kernel: 'sgd',
  slotNames: [],
  scalars: (_step, learningRate) => [learningRate],
});

export const sgd: Kernel = ([weights, gradients], [learningRate]) => {
  const rate = fround(learningRate);
  for (let i = 0; i < weights.length; i++) {
    weights[i] = fround(weights[i] - fround(gradients[i] * rate));
  }
};
