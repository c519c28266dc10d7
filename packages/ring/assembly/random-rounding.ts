// Floats to integers, rounded up or down at random: see `StochasticRounding` in `src/exact-sum.ts`, with the same bits.
import { scaleOf, VECTOR_BYTES } from './blocks';
import { INFINITY_BITS, largestMagnitude } from './quantise';

// Takes and returns what `quantiseGrain` does, and what the random words are drawn from.
export function quantiseAtRandom(
  gradients: usize,
  quanta: usize,
  limit: f32,
  sums: usize,
  exponents: usize,
  blocks: i32,
  keep: i32,
  keyLow: i32,
  keyHigh: i32,
  grain: i32,
  step: i32,
  firstBlock: i32,
): i32 {
  let overflow = 0;
  let firstNonFinite: i32 = -1;
  for (let block: i32 = 0; block < blocks; block++) {
    const scale = scaleOf(load<u8>(quanta + block));
    const exponent = largestMagnitude(gradients) >>> 23;
    for (let bundle: i32 = 0; bundle < 8; bundle++) {
      drawWords(((firstBlock + block) * 8 + bundle) * 4, grain, step, keyLow, keyHigh);
      overflow |= roundEight(gradients, word0, scale, limit, sums, keep);
      overflow |= roundEight(gradients + 32, word1, scale, limit, sums + 32, keep);
      overflow |= roundEight(gradients + 64, word2, scale, limit, sums + 64, keep);
      overflow |= roundEight(gradients + 96, word3, scale, limit, sums + 96, keep);
      gradients += 8 * VECTOR_BYTES;
      sums += 8 * VECTOR_BYTES;
    }
    if (exponent >= 255 && firstNonFinite < 0) firstNonFinite = block;
    if (exponent > <i32>load<u8>(exponents + block)) store<u8>(exponents + block, <u8>exponent);
  }
  return ((firstNonFinite + 1) << 1) | overflow;
}

// What `drawWords` returns: four random words of each of four counters. Each instance belongs to one thread.
let word0: v128 = i32x4.splat(0);
let word1: v128 = i32x4.splat(0);
let word2: v128 = i32x4.splat(0);
let word3: v128 = i32x4.splat(0);

// Philox4x32-10 for counters (first … first + 3, grain, step, 0): `philox` of the protocol package, four at a time.
function drawWords(first: i32, grain: i32, step: i32, keyLow: i32, keyHigh: i32): void {
  const multiplier0 = i32x4.splat(0xd2511f53);
  const multiplier1 = i32x4.splat(0xcd9e8d57);
  let c0 = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  let c1 = i32x4.splat(grain);
  let c2 = i32x4.splat(step);
  let c3 = i32x4.splat(0);
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(c0, multiplier0);
    const high1 = multiplyHigh(c2, multiplier1);
    const low0 = i32x4.mul(c0, multiplier0);
    c0 = v128.xor(v128.xor(high1, c1), i32x4.splat(keyLow));
    c1 = i32x4.mul(c2, multiplier1);
    c2 = v128.xor(v128.xor(high0, c3), i32x4.splat(keyHigh));
    c3 = low0;
    keyLow += 0x9e3779b9;
    keyHigh += 0xbb67ae85;
  }
  word0 = c0;
  word1 = c1;
  word2 = c2;
  word3 = c3;
}

function multiplyHigh(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(i64x2.extmul_low_i32x4_u(a, b), i64x2.extmul_high_i32x4_u(a, b), 1, 3, 5, 7);
}

// Eight values with the low, then the high halves of four random words.
function roundEight(values: usize, words: v128, scale: f32, limit: f32, sums: usize, keep: i32): i32 {
  const low = roundFour(values, v128.and(words, i32x4.splat(0xffff)), scale, limit, sums, keep);
  const high = roundFour(values + 16, i32x4.shr_u(words, 16), scale, limit, sums + 16, keep);
  return low | high;
}

function roundFour(values: usize, random: v128, scale: f32, limit: f32, sums: usize, keep: i32): i32 {
  const value = v128.load(values);
  const fraction = f32x4.mul(f32x4.convert_i32x4_s(random), f32x4.splat(1.0 / 65536.0));
  const rounded = f32x4.floor(f32x4.add(f32x4.mul(value, f32x4.splat(scale)), fraction));
  const fits = f32x4.le(f32x4.abs(rounded), f32x4.splat(limit));
  const integer = i32x4.trunc_sat_f32x4_s(v128.and(rounded, fits));
  v128.store(sums, i32x4.add(v128.and(v128.load(sums), i32x4.splat(keep)), integer));
  const magnitude = v128.and(value, i32x4.splat(0x7fffffff));
  return i32(v128.any_true(v128.andnot(i32x4.lt_s(magnitude, i32x4.splat(INFINITY_BITS)), fits)));
}
