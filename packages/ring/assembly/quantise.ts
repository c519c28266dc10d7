// Floats to integers, to nearest, ties to even: `quantiseGrain` of `src/exact-sum.ts` is the reference, with the same bits.
import { BLOCK_BYTES, scaleOf, VECTOR_BYTES } from './blocks';

export const INFINITY_BITS: i32 = 0x7f800000;

// Adds one grain to the sums, or stores it there (`keep` 0). Returns (first not-finite block + 1) × 2 + (1 if a finite value
// did not fit). Rounding is monotonic, so the block's largest magnitude says in advance whether all of it fits.
export function quantiseGrain(
  gradients: usize,
  quanta: usize,
  limit: f32,
  sums: usize,
  exponents: usize,
  blocks: i32,
  keep: i32,
): i32 {
  let overflow = 0;
  let firstNonFinite: i32 = -1;
  for (let block: i32 = 0; block < blocks; block++) {
    const scale = scaleOf(load<u8>(quanta + block));
    const largest = largestMagnitude(gradients);
    const exponent = largest >>> 23;
    const rounded = nearest<f32>(reinterpret<f32>(largest) * scale);
    if (exponent >= 255 || rounded > limit) {
      overflow |= quantiseMisfit(gradients, scale, limit, sums, keep);
      if (exponent >= 255 && firstNonFinite < 0) firstNonFinite = block;
    } else if (rounded <= LARGEST_SHIFTED) {
      quantiseFitting<Small>(gradients, scale, sums, keep);
    } else if (rounded <= LARGEST_SPLIT) {
      quantiseFitting<Split>(gradients, scale, sums, keep);
    } else {
      quantiseLarge(gradients, scale, sums, keep);
    }
    if (exponent > <i32>load<u8>(exponents + block)) store<u8>(exponents + block, <u8>exponent);
    gradients += BLOCK_BYTES;
    sums += BLOCK_BYTES;
  }
  return ((firstNonFinite + 1) << 1) | overflow;
}

// The float32 bits of a block's largest magnitude; not below INFINITY_BITS when a value is not finite.
export function largestMagnitude(values: usize): i32 {
  const mask = i32x4.splat(0x7fffffff);
  let even = i32x4.splat(0);
  let odd = i32x4.splat(0);
  const end = values + BLOCK_BYTES;
  while (values < end) {
    even = i32x4.max_s(even, v128.and(v128.load(values), mask));
    odd = i32x4.max_s(odd, v128.and(v128.load(values, 16), mask));
    even = i32x4.max_s(even, v128.and(v128.load(values, 32), mask));
    odd = i32x4.max_s(odd, v128.and(v128.load(values, 48), mask));
    values += 4 * VECTOR_BYTES;
  }
  return largestLane(i32x4.max_s(even, odd));
}

function largestLane(lanes: v128): i32 {
  const two = i32x4.max_s(lanes, v128.shuffle<i32>(lanes, lanes, 2, 3, 0, 1));
  const one = i32x4.max_s(two, v128.shuffle<i32>(two, two, 1, 0, 3, 2));
  return i32x4.extract_lane(one, 0);
}

// Up to 2^22 an integer shows in the low bits of a float to which 1.5 × 2^23 was added, rounded to nearest even.
const LARGEST_SHIFTED: f32 = 4194304;
const SHIFT: f32 = 12582912;

function shifted(values: usize, scale: v128): v128 {
  const shift = f32x4.splat(SHIFT);
  return i32x4.sub(f32x4.add(f32x4.mul(v128.load(values), scale), shift), shift);
}

// Up to 2^30 in two parts: a multiple of 2^8, which shows in the low bits of a float to which 1.5 × 2^31 was added, and what is left,
// which is exact in float32, and rounded as above. The first part is even, so ties go where they should.
export const LARGEST_SPLIT: f32 = 1073741824;
const COARSE_SHIFT: f32 = 3221225472;
const SHIFTS_BITS: i32 = (0x4f400000 << 8) + 0x4b400000;

export function split(values: usize, scales: v128): v128 {
  const coarseShift = f32x4.splat(COARSE_SHIFT);
  const scaled = f32x4.mul(v128.load(values), scales);
  const coarse = f32x4.add(scaled, coarseShift);
  const fine = f32x4.add(f32x4.sub(scaled, f32x4.sub(coarse, coarseShift)), f32x4.splat(SHIFT));
  return i32x4.sub(i32x4.add(i32x4.shl(coarse, 8), fine), i32x4.splat(SHIFTS_BITS));
}

// One of the two for all values of a block: a type argument, so that nothing of the choice is left in the loop.
type Small = u8;
type Split = u16;

function rounded<Range>(values: usize, scales: v128): v128 {
  return sizeof<Range>() === sizeof<Small>() ? shifted(values, scales) : split(values, scales);
}

function quantiseFitting<Range>(values: usize, scale: f32, sums: usize, keep: i32): void {
  const scales = f32x4.splat(scale);
  const end = values + BLOCK_BYTES;
  if (keep) {
    while (values < end) {
      v128.store(sums, i32x4.add(v128.load(sums), rounded<Range>(values, scales)));
      v128.store(sums, i32x4.add(v128.load(sums, 16), rounded<Range>(values + 16, scales)), 16);
      values += 2 * VECTOR_BYTES;
      sums += 2 * VECTOR_BYTES;
    }
  } else {
    while (values < end) {
      v128.store(sums, rounded<Range>(values, scales));
      v128.store(sums, rounded<Range>(values + 16, scales), 16);
      values += 2 * VECTOR_BYTES;
      sums += 2 * VECTOR_BYTES;
    }
  }
}

function quantiseLarge(values: usize, scale: f32, sums: usize, keep: i32): void {
  const kept = i32x4.splat(keep);
  const scales = f32x4.splat(scale);
  const end = values + BLOCK_BYTES;
  while (values < end) {
    const integer = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(values), scales)));
    v128.store(sums, i32x4.add(v128.and(v128.load(sums), kept), integer));
    values += VECTOR_BYTES;
    sums += VECTOR_BYTES;
  }
}

// A block of which some values do not fit or are not finite; those add nothing. Returns 1 if a finite value did not fit.
function quantiseMisfit(values: usize, scale: f32, limit: f32, sums: usize, keep: i32): i32 {
  const kept = i32x4.splat(keep);
  const scales = f32x4.splat(scale);
  const limits = f32x4.splat(limit);
  const infinity = i32x4.splat(INFINITY_BITS);
  let overflow = i32x4.splat(0);
  const end = values + BLOCK_BYTES;
  while (values < end) {
    const value = v128.load(values);
    const rounded = f32x4.nearest(f32x4.mul(value, scales));
    const fits = f32x4.le(f32x4.abs(rounded), limits);
    const integer = i32x4.trunc_sat_f32x4_s(v128.and(rounded, fits));
    v128.store(sums, i32x4.add(v128.and(v128.load(sums), kept), integer));
    const magnitude = v128.and(value, i32x4.splat(0x7fffffff));
    overflow = v128.or(overflow, v128.andnot(i32x4.lt_s(magnitude, infinity), fits));
    values += VECTOR_BYTES;
    sums += VECTOR_BYTES;
  }
  return i32(v128.any_true(overflow));
}
