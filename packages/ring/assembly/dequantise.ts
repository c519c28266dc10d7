// Integers to floats: `dequantise` of `src/exact-sum.ts` is the reference, with the same bits.
import { BLOCK_BYTES, BLOCK_VALUES, VECTOR_BYTES } from './blocks';
import { loadWide } from './wire';

// out = sums × 2^(quantum − 127) × inverseDivisor, rounded once to float32.
export function dequantise<T>(sums: usize, quanta: usize, inverseDivisor: f64, out: usize, blocks: i32): void {
  for (let block: i32 = 0; block < blocks; block++) {
    const factor = factorOf(load<u8>(quanta + block), inverseDivisor);
    if (isPlainPower(factor)) scaleByPower<T>(sums, <f32>factor, out);
    else scale<T>(sums, factor, out);
    sums += BLOCK_VALUES * sizeof<T>();
    out += BLOCK_BYTES;
  }
}

export function factorOf(quantum: u8, inverseDivisor: f64): f64 {
  return reinterpret<f64>((<i64>quantum + (1023 - 127)) << 52) * inverseDivisor;
}

// A power of two by which no int32 leaves the range of normal float32: then float32 arithmetic rounds no more than float64.
export function isPlainPower(factor: f64): bool {
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
