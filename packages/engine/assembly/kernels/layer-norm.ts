/** Layer normalisation over rows, n = (x − mean) · inverse and y = n · scale + offset, with its gradient. */
import { add, mul, splat, sub, sumOf } from './vectors';

/**
 * The gradient: with g = dy · scale, dx = addend + inverse · (g − mean(g) − n · mean(g · n)).
 *
 * @param addend read only where `hasAddend`.
 * @param scaleSums of each column of dy · n: the scale's gradient. `offsetSums`, of dy: the offset's.
 * @param columnSums of each column of dx.
 */
export function layerNormGradient(
  dy: usize,
  x: usize,
  mean: usize,
  inverse: usize,
  scale: usize,
  addend: usize,
  dx: usize,
  scaleSums: usize,
  offsetSums: usize,
  columnSums: usize,
  rows: usize,
  width: usize,
  hasAddend: i32,
): void {
  const bytes = width << 2;
  memory.fill(scaleSums, 0, bytes);
  memory.fill(offsetSums, 0, bytes);
  memory.fill(columnSums, 0, bytes);
  for (let row: usize = 0; row < rows; row++) {
    const center = v128.load32_splat(mean + (row << 2));
    const factor = v128.load32_splat(inverse + (row << 2));
    let slopes = splat(0);
    let products = splat(0);
    for (let at: usize = 0; at < bytes; at += 16) {
      const slope = v128.load(dy + at);
      const normal = mul(sub(v128.load(x + at), center), factor);
      const product = mul(slope, normal);
      const gain = v128.load(scale + at);
      slopes = add(slopes, mul(slope, gain));
      products = add(products, mul(product, gain));
      v128.store(scaleSums + at, add(v128.load(scaleSums + at), product));
      v128.store(offsetSums + at, add(v128.load(offsetSums + at), slope));
    }
    const meanSlope = splat(sumOf(slopes) / <f32>width);
    const meanProduct = splat(sumOf(products) / <f32>width);
    for (let at: usize = 0; at < bytes; at += 16) {
      const normal = mul(sub(v128.load(x + at), center), factor);
      const direct = sub(mul(v128.load(dy + at), v128.load(scale + at)), meanSlope);
      const slope = mul(sub(direct, mul(normal, meanProduct)), factor);
      const whole = hasAddend ? add(v128.load(addend + at), slope) : slope;
      v128.store(dx + at, whole);
      v128.store(columnSums + at, add(v128.load(columnSums + at), whole));
    }
    dy += bytes;
    x += bytes;
    dx += bytes;
    addend += bytes;
  }
}
