/**
 * Counter-based random numbers: a pure function of (key, counter), so that order, augmentation and dropout depend on
 * (seed, epoch, sample) or (seed, step, grain) alone, whoever computes them.
 *
 * Source: Philox4x32-10, J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
 */
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

export type PhiloxKey = readonly [number, number];
export type PhiloxCounter = readonly [number, number, number, number];

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/** Fills `out[0..3]` with four independent uniform unsigned 32-bit integers. */
export function philox(key: PhiloxKey, counter: PhiloxCounter, out: Uint32Array): void {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0 >>> 0);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2 >>> 0);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** Purposes keep streams apart that share a seed. */
export const RANDOM_STREAM = {
  sampleOrder: 1,
  initialWeights: 2,
  dropout: 3,
  rounding: 4,
  augmentation: 5,
  synthetic: 6,
  chaos: 7,
} as const;
export type RandomStream = keyof typeof RANDOM_STREAM;

/** Key of one stream of a run. `seed` is any safe integer; its low 53 bits count. */
export function streamKey(seed: number, stream: RandomStream): PhiloxKey {
  const low = seed >>> 0;
  const high = Math.floor(seed / 0x100000000) >>> 0;
  return [low, (high ^ Math.imul(RANDOM_STREAM[stream], 0x85ebca6b)) >>> 0];
}
