import { VECTOR_BYTES } from './blocks';

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
