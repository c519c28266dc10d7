// Floats of the last grain, and the sums of the others, to the mean.
import { BLOCK_BYTES, scaleOf, VECTOR_BYTES } from './blocks';
import { dequantise, factorOf, isPlainPower } from './dequantise';
import { LARGEST_SPLIT, largestMagnitude, quantiseGrain, split } from './quantise';

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
    const scale = scaleOf(load<u8>(quanta + block));
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
