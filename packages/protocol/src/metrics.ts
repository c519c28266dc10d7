/**
 * Metrics travel as integers, like gradients, so that their sums do not depend on order either.
 *
 * A grain's value is rounded to a multiple of 2^-20 and written as five limbs of 14 bits (two's complement: the upper limb
 * keeps the sign), so the 65,535 grains that a step may have add up in int32 without overflow.
 */
const FRACTION = 2 ** 20;
const LIMB = 2 ** 14;
export const LIMBS = 5;
/** Values are clamped to this magnitude; anything larger (a diverged loss) is only ever shown, never used. */
const MAX_MAGNITUDE = 2 ** 38;

/** A metric is a sum over samples; what people read is that sum divided by the number of samples. */
export interface MetricSums {
  /** Sum of the per-sample losses. */
  loss: number;
  /** Number of samples whose largest output is the target; 0 where that has no meaning. */
  correct: number;
  samples: number;
}

export const METRIC_NAMES = ['loss', 'correct', 'samples'] as const satisfies readonly (keyof MetricSums)[];
export const METRIC_WORDS = METRIC_NAMES.length * LIMBS;

function addExact(value: number, words: Int32Array, at: number): void {
  const bounded = Number.isNaN(value) ? MAX_MAGNITUDE : Math.max(-MAX_MAGNITUDE, Math.min(MAX_MAGNITUDE, value));
  let rest = Math.round(bounded * FRACTION);
  for (let limb = 0; limb < LIMBS - 1; limb++) {
    const low = ((rest % LIMB) + LIMB) % LIMB;
    words[at + limb] += low;
    rest = (rest - low) / LIMB;
  }
  words[at + LIMBS - 1] += rest;
}

function readExact(words: Int32Array, at: number): number {
  let value = 0;
  for (let limb = LIMBS - 1; limb >= 0; limb--) value = value * LIMB + words[at + limb];
  return value / FRACTION;
}

/** Adds one grain's metrics to `words` (METRIC_WORDS long). */
export function addMetrics(metrics: MetricSums, words: Int32Array): void {
  METRIC_NAMES.forEach((name, index) => {
    addExact(metrics[name], words, index * LIMBS);
  });
}

export function readMetrics(words: Int32Array): MetricSums {
  const [loss, correct, samples] = METRIC_NAMES.map((_, index) => readExact(words, index * LIMBS));
  return { loss, correct, samples };
}
