// Kernels of the exact sum and of the ring, in AssemblyScript for WebAssembly SIMD. `src/exact-sum.ts` is the reference:
// the same bits, block by block. All pointers are byte offsets in the shared memory; nothing is kept between calls.

const VECTOR_BYTES: usize = 16;
// BLOCK_SIZE of the layout, 256 values, in bytes.
const BLOCK_BYTES: usize = 1024;
const BLOCK_VALUES: usize = 256;
const INFINITY_BITS: i32 = 0x7f800000;

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
    const scale = reinterpret<f32>((254 - <i32>load<u8>(quanta + block)) << 23);
    const largest = largestMagnitude(gradients);
    const exponent = largest >>> 23;
    const rounded = nearest<f32>(reinterpret<f32>(largest) * scale);
    if (exponent >= 255 || rounded > limit) {
      overflow |= quantiseMisfit(gradients, scale, limit, sums, keep);
      if (exponent >= 255 && firstNonFinite < 0) firstNonFinite = block;
    } else if (rounded <= LARGEST_SHIFTED) {
      quantiseSmall(gradients, scale, sums, keep);
    } else if (rounded <= LARGEST_SPLIT) {
      quantiseSplit(gradients, scale, sums, keep);
    } else {
      quantiseLarge(gradients, scale, sums, keep);
    }
    if (exponent > <i32>load<u8>(exponents + block)) store<u8>(exponents + block, <u8>exponent);
    gradients += BLOCK_BYTES;
    sums += BLOCK_BYTES;
  }
  return ((firstNonFinite + 1) << 1) | overflow;
}

// `quantiseGrain` with `keep`, and `dequantise32` of the sums to `out`, in registers where a block allows it: sums may be lost, and `out` be
// `gradients`.
export function averageGrain(
  gradients: usize,
  quanta: usize,
  limit: f32,
  sums: usize,
  exponents: usize,
  blocks: i32,
  inverseDivisor: f64,
  out: usize,
): i32 {
  let overflow = 0;
  let firstNonFinite: i32 = -1;
  for (let block: i32 = 0; block < blocks; block++) {
    const scale = reinterpret<f32>((254 - <i32>load<u8>(quanta + block)) << 23);
    const factor = factorOf(load<u8>(quanta + block), inverseDivisor);
    const largest = largestMagnitude(gradients);
    const exponent = largest >>> 23;
    const rounded = nearest<f32>(reinterpret<f32>(largest) * scale);
    if (exponent < 255 && rounded <= limit && rounded <= LARGEST_SPLIT && isPlainPower(factor)) {
      averageSplit(gradients, scale, sums, <f32>factor, out);
      if (exponent > <i32>load<u8>(exponents + block)) store<u8>(exponents + block, <u8>exponent);
    } else {
      const packed = quantiseGrain(gradients, quanta + block, limit, sums, exponents + block, 1, -1);
      overflow |= packed & 1;
      if (packed >> 1 !== 0 && firstNonFinite < 0) firstNonFinite = block;
      dequantise<i32>(sums, quanta + block, inverseDivisor, out, 1);
    }
    gradients += BLOCK_BYTES;
    sums += BLOCK_BYTES;
    out += BLOCK_BYTES;
  }
  return ((firstNonFinite + 1) << 1) | overflow;
}

function averageSplit(values: usize, scale: f32, sums: usize, factor: f32, out: usize): void {
  const scales = f32x4.splat(scale);
  const factors = f32x4.splat(factor);
  const end = values + BLOCK_BYTES;
  while (values < end) {
    const first = i32x4.add(v128.load(sums), split(values, scales));
    const second = i32x4.add(v128.load(sums, 16), split(values + 16, scales));
    v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(first), factors));
    v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(second), factors), 16);
    values += 2 * VECTOR_BYTES;
    sums += 2 * VECTOR_BYTES;
    out += 2 * VECTOR_BYTES;
  }
}

// The float32 bits of a block's largest magnitude; not below INFINITY_BITS when a value is not finite.
function largestMagnitude(values: usize): i32 {
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

function quantiseSmall(values: usize, scale: f32, sums: usize, keep: i32): void {
  const scales = f32x4.splat(scale);
  const end = values + BLOCK_BYTES;
  if (keep) {
    while (values < end) {
      v128.store(sums, i32x4.add(v128.load(sums), shifted(values, scales)));
      v128.store(sums, i32x4.add(v128.load(sums, 16), shifted(values + 16, scales)), 16);
      values += 2 * VECTOR_BYTES;
      sums += 2 * VECTOR_BYTES;
    }
  } else {
    while (values < end) {
      v128.store(sums, shifted(values, scales));
      v128.store(sums, shifted(values + 16, scales), 16);
      values += 2 * VECTOR_BYTES;
      sums += 2 * VECTOR_BYTES;
    }
  }
}

// Up to 2^30 in two parts: a multiple of 2^8, which shows in the low bits of a float to which 1.5 × 2^31 was added, and what is left,
// which is exact in float32, and rounded as above. The first part is even, so ties go where they should.
const LARGEST_SPLIT: f32 = 1073741824;
const COARSE_SHIFT: f32 = 3221225472;
const SHIFTS_BITS: i32 = (0x4f400000 << 8) + 0x4b400000;

function split(values: usize, scales: v128): v128 {
  const coarseShift = f32x4.splat(COARSE_SHIFT);
  const scaled = f32x4.mul(v128.load(values), scales);
  const coarse = f32x4.add(scaled, coarseShift);
  const fine = f32x4.add(f32x4.sub(scaled, f32x4.sub(coarse, coarseShift)), f32x4.splat(SHIFT));
  return i32x4.sub(i32x4.add(i32x4.shl(coarse, 8), fine), i32x4.splat(SHIFTS_BITS));
}

function quantiseSplit(values: usize, scale: f32, sums: usize, keep: i32): void {
  const scales = f32x4.splat(scale);
  const end = values + BLOCK_BYTES;
  if (keep) {
    while (values < end) {
      v128.store(sums, i32x4.add(v128.load(sums), split(values, scales)));
      v128.store(sums, i32x4.add(v128.load(sums, 16), split(values + 16, scales)), 16);
      values += 2 * VECTOR_BYTES;
      sums += 2 * VECTOR_BYTES;
    }
  } else {
    while (values < end) {
      v128.store(sums, split(values, scales));
      v128.store(sums, split(values + 16, scales), 16);
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

// Like `quantiseGrain`, but rounded up or down at random: see `StochasticRounding` in `src/exact-sum.ts`.
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
    const scale = reinterpret<f32>((254 - <i32>load<u8>(quanta + block)) << 23);
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

// The three wire formats: four sums as int32, from and to T.
function loadWide<T>(at: usize): v128 {
  if (sizeof<T>() === 4) return v128.load(at);
  if (sizeof<T>() === 2) return v128.load_ext<i16>(at);
  return i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load_splat<u32>(at)));
}

function storeNarrow<T>(at: usize, wide: v128): void {
  if (sizeof<T>() === 4) {
    v128.store(at, wide);
  } else {
    const short = i16x8.narrow_i32x4_s(wide, wide);
    if (sizeof<T>() === 2) v128.store_lane<u64>(at, short, 0);
    else v128.store_lane<u32>(at, i8x16.narrow_i16x8_s(short, short), 0);
  }
}

// out = sums × 2^(quantum − 127) × inverseDivisor, rounded once to float32.
function dequantise<T>(sums: usize, quanta: usize, inverseDivisor: f64, out: usize, blocks: i32): void {
  for (let block: i32 = 0; block < blocks; block++) {
    const factor = factorOf(load<u8>(quanta + block), inverseDivisor);
    if (isPlainPower(factor)) scaleByPower<T>(sums, <f32>factor, out);
    else scale<T>(sums, factor, out);
    sums += BLOCK_VALUES * sizeof<T>();
    out += BLOCK_BYTES;
  }
}

function factorOf(quantum: u8, inverseDivisor: f64): f64 {
  return reinterpret<f64>((<i64>quantum + (1023 - 127)) << 52) * inverseDivisor;
}

// A power of two by which no int32 leaves the range of normal float32: then float32 arithmetic rounds no more than float64.
function isPlainPower(factor: f64): bool {
  const bits = reinterpret<u64>(factor);
  const exponent = <i32>(bits >> 52) - 1023;
  return (bits & 0x000fffffffffffff) === 0 && exponent >= -126 && exponent <= 96;
}

function scaleByPower<T>(sums: usize, factor: f32, out: usize): void {
  const factors = f32x4.splat(factor);
  const end = out + BLOCK_BYTES;
  while (out < end) {
    const second = sums + 4 * sizeof<T>();
    v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(loadWide<T>(sums)), factors));
    v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(loadWide<T>(second)), factors), 16);
    sums += 8 * sizeof<T>();
    out += 2 * VECTOR_BYTES;
  }
}

function scale<T>(sums: usize, factor: f64, out: usize): void {
  const factors = f64x2.splat(factor);
  const end = out + BLOCK_BYTES;
  while (out < end) {
    const integers = loadWide<T>(sums);
    const low = f64x2.mul(f64x2.convert_low_i32x4_s(integers), factors);
    const high = f64x2.mul(f64x2.convert_low_i32x4_s(v128.shuffle<i32>(integers, integers, 2, 3, 0, 1)), factors);
    const lowFloats = f32x4.demote_f64x2_zero(low);
    const highFloats = f32x4.demote_f64x2_zero(high);
    v128.store(out, v128.shuffle<i32>(lowFloats, highFloats, 0, 1, 4, 5));
    sums += 4 * sizeof<T>();
    out += VECTOR_BYTES;
  }
}

export function dequantise32(sums: usize, quanta: usize, inverseDivisor: f64, out: usize, blocks: i32): void {
  dequantise<i32>(sums, quanta, inverseDivisor, out, blocks);
}

export function dequantise16(sums: usize, quanta: usize, inverseDivisor: f64, out: usize, blocks: i32): void {
  dequantise<i16>(sums, quanta, inverseDivisor, out, blocks);
}

export function dequantise8(sums: usize, quanta: usize, inverseDivisor: f64, out: usize, blocks: i32): void {
  dequantise<i8>(sums, quanta, inverseDivisor, out, blocks);
}

// out = a + b, int32. `out` may be `a` or `b`.
export function addInt32(out: usize, a: usize, b: usize, count: i32): void {
  const vectorEnd = a + ((<usize>(count & ~7)) << 2);
  const end = a + ((<usize>count) << 2);
  while (a < vectorEnd) {
    v128.store(out, i32x4.add(v128.load(a), v128.load(b)));
    v128.store(out, i32x4.add(v128.load(a, 16), v128.load(b, 16)), 16);
    a += 2 * VECTOR_BYTES;
    b += 2 * VECTOR_BYTES;
    out += 2 * VECTOR_BYTES;
  }
  while (a < end) {
    store<i32>(out, load<i32>(a) + load<i32>(b));
    a += 4;
    b += 4;
    out += 4;
  }
}

// out = a + b, int16. `out` may be `a` or `b`.
export function addInt16(out: usize, a: usize, b: usize, count: i32): void {
  const vectorEnd = a + ((<usize>(count & ~7)) << 1);
  const end = a + ((<usize>count) << 1);
  while (a < vectorEnd) {
    v128.store(out, i16x8.add(v128.load(a), v128.load(b)));
    a += VECTOR_BYTES;
    b += VECTOR_BYTES;
    out += VECTOR_BYTES;
  }
  while (a < end) {
    store<i16>(out, load<i16>(a) + load<i16>(b));
    a += 2;
    b += 2;
    out += 2;
  }
}

// out = out × keep + values, in T, whole blocks. The caller's quanta guarantee that the sums fit.
function narrow<T>(values: usize, out: usize, blocks: i32, keep: i32): void {
  const kept = i32x4.splat(keep);
  const end = values + <usize>blocks * BLOCK_BYTES;
  while (values < end) {
    storeNarrow<T>(out, i32x4.add(v128.load(values), v128.and(loadWide<T>(out), kept)));
    values += VECTOR_BYTES;
    out += 4 * sizeof<T>();
  }
}

export function narrow16(values: usize, out: usize, blocks: i32, keep: i32): void {
  narrow<i16>(values, out, blocks, keep);
}

export function narrow8(values: usize, out: usize, blocks: i32, keep: i32): void {
  narrow<i8>(values, out, blocks, keep);
}

// out = a + b, int8. `out` may be `a` or `b`.
export function addInt8(out: usize, a: usize, b: usize, count: i32): void {
  const vectorEnd = a + <usize>(count & ~15);
  const end = a + <usize>count;
  while (a < vectorEnd) {
    v128.store(out, i8x16.add(v128.load(a), v128.load(b)));
    a += VECTOR_BYTES;
    b += VECTOR_BYTES;
    out += VECTOR_BYTES;
  }
  while (a < end) {
    store<i8>(out, load<i8>(a) + load<i8>(b));
    a++;
    b++;
    out++;
  }
}

// out = max(a, b), bytes. `out` may be `a` or `b`.
export function maxUint8(out: usize, a: usize, b: usize, count: i32): void {
  const vectorEnd = a + <usize>(count & ~15);
  const end = a + <usize>count;
  while (a < vectorEnd) {
    v128.store(out, i8x16.max_u(v128.load(a), v128.load(b)));
    a += VECTOR_BYTES;
    b += VECTOR_BYTES;
    out += VECTOR_BYTES;
  }
  while (a < end) {
    store<u8>(out, max(load<u8>(a), load<u8>(b)));
    a++;
    b++;
    out++;
  }
}

// Checksum of `src/checksum.ts`: per lane of four 32-bit words a sum and a sum of sums, folded by odd and even factors.
export function checksum(bytes: usize, count: i32): i32 {
  const vectorEnd = bytes + <usize>(count & ~15);
  let sums = i32x4.splat(0);
  let sumsOfSums = i32x4.splat(0);
  while (bytes < vectorEnd) {
    sums = i32x4.add(sums, v128.load(bytes));
    sumsOfSums = i32x4.add(sumsOfSums, sums);
    bytes += VECTOR_BYTES;
  }
  if ((count & 15) !== 0) {
    sums = i32x4.add(sums, lastVector(bytes, count & 15));
    sumsOfSums = i32x4.add(sumsOfSums, sums);
  }
  const folded = i32x4.add(
    i32x4.mul(sums, i32x4(0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f)),
    i32x4.mul(sumsOfSums, i32x4(0x165667b2, 0x2545f492, 0x61c88646, 0x7feb352e)),
  );
  return (
    i32x4.extract_lane(folded, 0) +
    i32x4.extract_lane(folded, 1) +
    i32x4.extract_lane(folded, 2) +
    i32x4.extract_lane(folded, 3)
  );
}

// The 1 to 15 bytes from `bytes` on, and zeros.
function lastVector(bytes: usize, count: i32): v128 {
  let low: u64 = 0;
  let high: u64 = 0;
  for (let at: i32 = 0; at < count; at++) {
    const byte = <u64>load<u8>(bytes + at);
    if (at < 8) low |= byte << (at << 3);
    else high |= byte << ((at - 8) << 3);
  }
  return i64x2.replace_lane(i64x2.splat(low), 1, high);
}
