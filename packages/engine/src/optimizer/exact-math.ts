/**
 * Functions whose bits must not depend on machine or Node version. Math.pow and Math.cos may change in the last bit from
 * one engine to the next; float64 +, − and × may not.
 */

/** base^exponent for a whole exponent ≥ 0, by repeated squaring: always the same products in the same order. */
export function powerOf(base: number, exponent: number): number {
  let result = 1;
  let square = base;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}

/** 1 ÷ (k·(k+1)) for the odd powers of the sine series up to x²³, whose rest is below 2⁻⁵³ on [−π/2, π/2]. */
const SINE_FACTORS = Array.from({ length: 11 }, (_, index) => 1 / ((2 * index + 2) * (2 * index + 3)));

/** cos(π·x) for 0 ≤ x ≤ 1, by the power series of the sine around the middle; within 2⁻⁵⁰. */
export function cosineOfPi(x: number): number {
  const angle = Math.PI * (0.5 - x);
  const square = angle * angle;
  const series = SINE_FACTORS.reduceRight((sum, factor) => 1 - square * factor * sum, 1);
  return angle * series;
}
