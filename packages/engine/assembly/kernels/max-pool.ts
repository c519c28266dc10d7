/** The gradient of max pooling: each window's slope goes to the first of its pixels that equals the maximum, row by row. */
import { add } from './vectors';

/**
 * @param x planes of pixels of `depth` bytes each; `dx` is as large, `y` and `dy` hold a pixel for each window.
 * @param top,left pixels of padding before the first row and column.
 * @param isMasked 1 where a relu came before the pooling: then windows whose maximum is 0 pass nothing on.
 */
export function maxPoolGradient(
  x: usize,
  y: usize,
  dy: usize,
  dx: usize,
  planes: i32,
  height: i32,
  width: i32,
  depth: i32,
  outHeight: i32,
  outWidth: i32,
  windowHeight: i32,
  windowWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  top: i32,
  left: i32,
  isMasked: i32,
): void {
  const plane: usize = height * width * depth;
  const unmasked = i32x4.splat(isMasked - 1);
  for (let index = 0; index < planes; index++) {
    memory.fill(dx, 0, plane);
    for (let row = 0; row < outHeight; row++) {
      const firstRow = row * strideHeight - top;
      const rowFrom = max(firstRow, 0);
      const rowTo = min(firstRow + windowHeight, height);
      for (let column = 0; column < outWidth; column++) {
        const firstColumn = column * strideWidth - left;
        const columnFrom = max(firstColumn, 0) * depth;
        const columnTo = min(firstColumn + windowWidth, width) * depth;
        for (let channel = 0; channel < depth; channel += 16) {
          const maximum = v128.load(y + channel);
          // What is left of the slope: nothing, once a pixel has taken it.
          let slope = slopeOf(maximum, v128.load(dy + channel), unmasked);
          for (let inRow = rowFrom; inRow < rowTo; inRow++) {
            const line = inRow * width * depth + channel;
            for (let at = line + columnFrom, end = line + columnTo; at < end; at += depth) {
              const isHit = f32x4.eq(v128.load(x + at), maximum);
              v128.store(dx + at, add(v128.load(dx + at), v128.and(slope, isHit)));
              slope = v128.andnot(slope, isHit);
            }
          }
        }
        y += depth;
        dy += depth;
      }
    }
    x += plane;
    dx += plane;
  }
}

/** The same for windows of 2×2 pixels side by side, of which as many lie in a plane as can. */
export function maxPoolGradient2x2(
  x: usize,
  y: usize,
  dy: usize,
  dx: usize,
  planes: usize,
  height: usize,
  width: usize,
  depth: usize,
  isMasked: i32,
): void {
  const line = width * depth;
  const used = (width & ~1) * depth;
  const unmasked = i32x4.splat(isMasked - 1);
  for (let index: usize = 0; index < planes; index++) {
    for (let row: usize = 0; row + 1 < height; row += 2) {
      const from = x + row * line;
      const to = dx + row * line;
      for (let at: usize = 0; at < used; at += 2 * depth) {
        for (let channel: usize = 0; channel < depth; channel += 16) {
          const maximum = v128.load(y + channel);
          const slope = slopeOf(maximum, v128.load(dy + channel), unmasked);
          const first = at + channel;
          const second = first + depth;
          const a = f32x4.eq(v128.load(from + first), maximum);
          const b = f32x4.eq(v128.load(from + second), maximum);
          const c = f32x4.eq(v128.load(from + line + first), maximum);
          const afterA = v128.andnot(slope, a);
          const afterB = v128.andnot(afterA, b);
          const afterC = v128.andnot(afterB, c);
          const d = f32x4.eq(v128.load(from + line + second), maximum);
          v128.store(to + first, v128.and(slope, a));
          v128.store(to + second, v128.and(afterA, b));
          v128.store(to + line + first, v128.and(afterB, c));
          v128.store(to + line + second, v128.and(afterC, d));
        }
        y += depth;
        dy += depth;
      }
      memory.fill(to + used, 0, line - used);
      memory.fill(to + line + used, 0, line - used);
    }
    if (height & 1) memory.fill(dx + (height - 1) * line, 0, line);
    x += height * line;
    dx += height * line;
  }
}

/** dy, or 0 where a mask leaves nothing of it. */
function slopeOf(maximum: v128, dy: v128, unmasked: v128): v128 {
  return v128.and(dy, v128.or(f32x4.gt(maximum, f32x4.splat(0)), unmasked));
}
