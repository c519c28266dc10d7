/**
 * Numbers that are added up exactly, in whatever order and grouping: fixed point, in limbs of 14 bits (two's complement: the
 * upper limb keeps the sign). A limb is an int32 of which 14 bits are used, so that a ring may add up 131,072 of them
 * without a carry; whoever adds on one host carries at once, and so may add as many as it likes.
 */
const LIMB = 2 ** 14;

export interface ExactFormat {
  readonly limbs: number;
  /** Steps of 1 ÷ this. */
  readonly fraction: number;
  /** Larger values are clamped to this; NaN counts as this. */
  readonly maxMagnitude: number;
}

/** Sums of real numbers: to 2^-20, a term up to 2^38. Anything larger (a diverged loss) is only ever shown, never used. */
export const REAL: ExactFormat = { limbs: 5, fraction: 2 ** 20, maxMagnitude: 2 ** 38 };
/** Counts: integers up to 2^41. */
export const COUNT: ExactFormat = { limbs: 3, fraction: 1, maxMagnitude: 2 ** 41 };

/** Adds `value` to the number that stands at `words[at]` and in the limbs behind it. */
export function addExact({ limbs, fraction, maxMagnitude }: ExactFormat, value: number, words: Int32Array, at: number) {
  const bounded = Number.isNaN(value) ? maxMagnitude : Math.max(-maxMagnitude, Math.min(maxMagnitude, value));
  let rest = Math.round(bounded * fraction);
  for (let limb = at; limb < at + limbs - 1; limb++) {
    const sum = words[limb] + modulo(rest);
    words[limb] = modulo(sum);
    rest = (rest - modulo(rest)) / LIMB + Math.floor(sum / LIMB);
  }
  words[at + limbs - 1] += rest;
}

/** The nearest double; the same one however the number came about. */
export function readExact({ limbs, fraction }: ExactFormat, words: Int32Array, at: number): number {
  const low: number[] = [];
  let carry = 0;
  for (let limb = at; limb < at + limbs - 1; limb++) {
    const sum = words[limb] + carry;
    low.push(modulo(sum));
    carry = Math.floor(sum / LIMB);
  }
  return low.reduceRight((value, limb) => value * LIMB + limb, words[at + limbs - 1] + carry) / fraction;
}

const modulo = (value: number): number => ((value % LIMB) + LIMB) % LIMB;
