import { powerOf } from './exact-math.js';
import { flush, type Kernel, safeEpsilon, type UpdateRule } from './rule.js';

const { fround, sqrt } = Math;

export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled decay of AdamW; 0 is plain Adam. It acts on every trainable parameter. */
  readonly weightDecay: number;
}

/**
 * m ← β₁·m + (1−β₁)·g, v ← β₂·v + (1−β₂)·g², m̂ = m ÷ (1−β₁ᵗ), v̂ = v ÷ (1−β₂ᵗ), w ← w − (η·m̂ ÷ (√v̂ + ε) + η·λ·w).
 *
 * The bias corrections are scalars of the step: β^t by repeated squaring (see powerOf), so nothing is carried from step to
 * step and a resumed run computes the same.
 *
 * Sources: D. Kingma and J. Ba, "Adam", ICLR 2015; I. Loshchilov and F. Hutter, "Decoupled weight decay
 * regularization", ICLR 2019 (λ is scaled by the current rate, as in PyTorch and Keras).
 */
export const adamRule = ({ beta1, beta2, epsilon, weightDecay }: AdamOptions): UpdateRule => ({
  kernel: 'adam',
  slotNames: ['firstMoment', 'secondMoment'],
  scalars: (step, learningRate) => [
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    learningRate / (1 - powerOf(beta1, step + 1)),
    1 / (1 - powerOf(beta2, step + 1)),
    safeEpsilon(epsilon),
    learningRate * weightDecay,
  ],
});

export const adam: Kernel = ([weights, gradients, first, second], scalars) => {
  const [keep1, take1, keep2, take2, rate, correction, epsilon, decay] = scalars.map(fround);
  for (let i = 0; i < weights.length; i++) {
    const gradient = gradients[i];
    const m = flush(fround(fround(first[i] * keep1) + fround(gradient * take1)));
    const v = flush(fround(fround(second[i] * keep2) + fround(fround(gradient * gradient) * take2)));
    first[i] = m;
    second[i] = v;
    const denominator = fround(fround(sqrt(fround(v * correction))) + epsilon);
    const change = fround(fround(m * rate) / denominator);
    weights[i] = fround(weights[i] - fround(change + fround(weights[i] * decay)));
  }
};
