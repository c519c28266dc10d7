/** Softmax over rows: the gradient of it, and cross-entropy with labels, whose gradient needs no detour. */
import { add, constant, exp2, mul, splat, sub, sumOf } from './vectors';

/** dx = y · (dy − Σ dy · y) */
export function softmaxGradient(dy: usize, y: usize, dx: usize, rows: usize, width: usize): void {
  const bytes = width << 2;
  for (let row: usize = 0; row < rows; row++) {
    let products = splat(0);
    for (let at: usize = 0; at < bytes; at += 16) {
      products = add(products, mul(v128.load(dy + at), v128.load(y + at)));
    }
    const sum = splat(sumOf(products));
    for (let at: usize = 0; at < bytes; at += 16) {
      v128.store(dx + at, mul(v128.load(y + at), sub(v128.load(dy + at), sum)));
    }
    dy += bytes;
    y += bytes;
    dx += bytes;
  }
}

const TABLE: usize = memory.data<f32>([
  // log2 e; the least exponent, at which a class is nothing beside the likeliest one, but no denormal
  Mathf.LOG2E,
  -100,
]);

/** e^(x − largest), with 2⁻¹⁰⁰ for everything below; `pmax` keeps its first operand where that is not a number. */
function powerBelow(x: v128, largest: v128): v128 {
  return exp2(f32x4.pmax(mul(sub(x, largest), constant(TABLE, 0)), constant(TABLE, 1)));
}

function largestOf(logits: usize, bytes: usize): f32 {
  let largest = v128.load(logits);
  for (let at: usize = 16; at < bytes; at += 16) largest = f32x4.pmax(largest, v128.load(logits + at));
  const pairs = f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 2, 3, 2, 3));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** Number of the first element that equals `value`; −1 where none does, which is so where one is not a number. */
function firstEqual(logits: usize, bytes: usize, value: f32): i32 {
  const wanted = f32x4.splat(value);
  for (let at: usize = 0; at < bytes; at += 16) {
    const equal = i32x4.bitmask(f32x4.eq(v128.load(logits + at), wanted));
    if (equal) return (<i32>at >> 2) + ctz(equal);
  }
  return -1;
}

/**
 * Of each row: its loss, ln Σ e^x − x[label]; 0 where there is no such label, unless a logit is not a number. Its largest element; 1 / Σ e^(x − largest); and
 * the number of the largest, the first of several.
 */
export function crossEntropy(
  logits: usize,
  labels: usize,
  losses: usize,
  largests: usize,
  inverses: usize,
  likeliest: usize,
  rows: usize,
  width: usize,
): void {
  const bytes = width << 2;
  for (let row: usize = 0, end = rows << 2; row < end; row += 4) {
    const largest = largestOf(logits, bytes);
    const center = f32x4.splat(largest);
    let sums = splat(0);
    for (let at: usize = 0; at < bytes; at += 16) sums = add(sums, powerBelow(v128.load(logits + at), center));
    const sum = sumOf(sums);
    const label = load<u32>(labels + row);
    const isLabel = label < <u32>width;
    const own: f32 = isLabel ? load<f32>(logits + ((<usize>label) << 2)) - largest : 0;
    store<f32>(losses + row, isLabel ? Mathf.log(sum) - own : sum * 0);
    store<f32>(largests + row, largest);
    store<f32>(inverses + row, <f32>1 / sum);
    store<i32>(likeliest + row, max(0, firstEqual(logits, bytes, largest)));
    logits += bytes;
  }
}

/** dx = dy · (e^(x − largest) · inverse − 1 at the label), with one dy a row; 0 where there is no such label. */
export function crossEntropyGradient(
  logits: usize,
  labels: usize,
  largests: usize,
  inverses: usize,
  dy: usize,
  dx: usize,
  rows: usize,
  width: usize,
): void {
  const bytes = width << 2;
  for (let row: usize = 0, end = rows << 2; row < end; row += 4) {
    const label = load<u32>(labels + row);
    const isLabel = label < <u32>width;
    const slope: f32 = isLabel ? load<f32>(dy + row) : 0;
    const center = v128.load32_splat(largests + row);
    const factor = splat(load<f32>(inverses + row) * slope);
    for (let at: usize = 0; at < bytes; at += 16) {
      v128.store(dx + at, mul(powerBelow(v128.load(logits + at), center), factor));
    }
    if (isLabel) {
      const at = dx + ((<usize>label) << 2);
      store<f32>(at, load<f32>(at) - slope);
    }
    logits += bytes;
    dx += bytes;
  }
}
