// Kernels of the exact sum and of the ring, in AssemblyScript for WebAssembly SIMD. `src/exact-sum.ts` is the reference:
// the same bits, block by block. All pointers are byte offsets in the shared memory; nothing is kept between calls.

const VECTOR_BYTES: usize = 16;
// BLOCK_SIZE of the layout, 256 values, in bytes.
const BLOCK_BYTES: usize = 1024;

// Adds one grain to the sums, or stores it there (`keep` 0 instead of −1). Returns (first not-finite block + 1) × 2 + (1 if a finite value did not fit).
export function quantiseGrain(
  gradients: usize,
  quanta: usize,
  limit: f32,
  sums: usize,
  exponents: usize,
  blocks: i32,
  keep: i32,
): i32 {
  const kept = i32x4.splat(keep);
  const magnitudeMask = i32x4.splat(0x7fffffff);
  const infinity = i32x4.splat(0x7f800000);
  const limits = f32x4.splat(limit);
  let overflow = i32x4.splat(0);
  let firstNonFinite: i32 = -1;
  for (let block: i32 = 0; block < blocks; block++) {
    const scale = f32x4.splat(reinterpret<f32>((254 - <i32>load<u8>(quanta + block)) << 23));
    let largest = i32x4.splat(0);
    const end = gradients + BLOCK_BYTES;
    while (gradients < end) {
      const value = v128.load(gradients);
      const magnitude = v128.and(value, magnitudeMask);
      largest = i32x4.max_s(largest, magnitude);
      const rounded = f32x4.nearest(f32x4.mul(value, scale));
      const fits = f32x4.le(f32x4.abs(rounded), limits);
      const integer = i32x4.trunc_sat_f32x4_s(v128.and(rounded, fits));
      v128.store(sums, i32x4.add(v128.and(v128.load(sums), kept), integer));
      overflow = v128.or(overflow, v128.andnot(i32x4.lt_s(magnitude, infinity), fits));
      gradients += VECTOR_BYTES;
      sums += VECTOR_BYTES;
    }
    const exponent = exponentOf(largest);
    if (exponent >= 255 && firstNonFinite < 0) firstNonFinite = block;
    if (exponent > <i32>load<u8>(exponents + block)) store<u8>(exponents + block, <u8>exponent);
  }
  return ((firstNonFinite + 1) << 1) | i32(v128.any_true(overflow));
}

function exponentOf(magnitudes: v128): i32 {
  const two = i32x4.max_s(magnitudes, v128.shuffle<i32>(magnitudes, magnitudes, 2, 3, 0, 1));
  const one = i32x4.max_s(two, v128.shuffle<i32>(two, two, 1, 0, 3, 2));
  return i32x4.extract_lane(one, 0) >>> 23;
}

// out = sums × 2^(quantum − 127) × inverseDivisor, in float64, rounded once to float32.
export function dequantise(sums: usize, quanta: usize, inverseDivisor: f64, out: usize, blocks: i32): void {
  for (let block: i32 = 0; block < blocks; block++) {
    const quantum = reinterpret<f64>((<i64>load<u8>(quanta + block) + (1023 - 127)) << 52);
    const factor = f64x2.splat(quantum * inverseDivisor);
    const end = sums + BLOCK_BYTES;
    while (sums < end) {
      const integers = v128.load(sums);
      const low = f64x2.mul(f64x2.convert_low_i32x4_s(integers), factor);
      const high = f64x2.mul(f64x2.convert_low_i32x4_s(v128.shuffle<i32>(integers, integers, 2, 3, 0, 1)), factor);
      const lowFloats = f32x4.demote_f64x2_zero(low);
      const highFloats = f32x4.demote_f64x2_zero(high);
      v128.store(out, v128.shuffle<i32>(lowFloats, highFloats, 0, 1, 4, 5));
      sums += VECTOR_BYTES;
      out += VECTOR_BYTES;
    }
  }
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

// out = int16 of values, whole blocks. The caller's quanta guarantee that they fit.
export function narrow(values: usize, out: usize, blocks: i32): void {
  const end = values + <usize>blocks * BLOCK_BYTES;
  while (values < end) {
    v128.store(out, i16x8.narrow_i32x4_s(v128.load(values), v128.load(values, 16)));
    values += 2 * VECTOR_BYTES;
    out += VECTOR_BYTES;
  }
}

// out = int32 of values, whole blocks.
export function widen(values: usize, out: usize, blocks: i32): void {
  const end = out + <usize>blocks * BLOCK_BYTES;
  while (out < end) {
    const shorts = v128.load(values);
    v128.store(out, i32x4.extend_low_i16x8_s(shorts));
    v128.store(out, i32x4.extend_high_i16x8_s(shorts), 16);
    values += VECTOR_BYTES;
    out += 2 * VECTOR_BYTES;
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
