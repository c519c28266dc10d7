/**
 * Attention's rearranging: queries, keys and values of all heads side by side, rows [count, length] of columns [3, heads, depth],
 * and each by itself, [count, heads, length, depth]. `band`: columns that lie together (see `index.ts`), all of them or a divisor of the depth.
 */
import { add } from './vectors';

export function splitHeads(
  joined: usize,
  queries: usize,
  keys: usize,
  values: usize,
  count: usize,
  length: usize,
  heads: usize,
  depth: usize,
  band: usize,
): void {
  const rows = count * length;
  const step = band << 2;
  const run = min(band, depth) << 2;
  const bytes = depth << 2;
  /** From queries to keys, and from keys to values. */
  const stride = band <= depth ? heads * depth * rows * 4 : (heads * depth) << 2;
  for (let sample: usize = 0; sample < count; sample++) {
    for (let head: usize = 0; head < heads; head++) {
      for (let start: usize = 0; start < bytes; start += run) {
        let from = joined + placeOf(sample * length, head * bytes + start, rows, step);
        for (let to = start; to < length * bytes; to += bytes) {
          for (let at: usize = 0; at < run; at += 16) {
            v128.store(queries + to + at, v128.load(from + at));
            v128.store(keys + to + at, v128.load(from + stride + at));
            v128.store(values + to + at, v128.load(from + 2 * stride + at));
          }
          from += step;
        }
      }
      queries += length * bytes;
      keys += length * bytes;
      values += length * bytes;
    }
  }
}

/** Bytes from the start of banded rows to a column, in bytes, of a row; bands have `step` bytes. */
function placeOf(row: usize, column: usize, rows: usize, step: usize): usize {
  const within = column % step;
  return (column - within) * rows + row * step + within;
}

/** `sums`: of each column of `joined`, which has 3 · heads · depth. */
export function joinHeads(
  queries: usize,
  keys: usize,
  values: usize,
  joined: usize,
  sums: usize,
  count: usize,
  length: usize,
  heads: usize,
  depth: usize,
  band: usize,
): void {
  const rows = count * length;
  const step = band << 2;
  const run = min(band, depth) << 2;
  const bytes = depth << 2;
  const columns = (heads * depth) << 2;
  const stride = band <= depth ? columns * rows : columns;
  memory.fill(sums, 0, 3 * columns);
  for (let sample: usize = 0; sample < count; sample++) {
    for (let head: usize = 0; head < heads; head++) {
      for (let start: usize = 0; start < bytes; start += run) {
        let to = joined + placeOf(sample * length, head * bytes + start, rows, step);
        const total = sums + head * bytes + start;
        for (let from = start; from < length * bytes; from += bytes) {
          for (let at: usize = 0; at < run; at += 16) {
            moveAndAdd(queries + from + at, to + at, total + at);
            moveAndAdd(keys + from + at, to + stride + at, total + columns + at);
            moveAndAdd(values + from + at, to + 2 * stride + at, total + 2 * columns + at);
          }
          to += step;
        }
      }
      queries += length * bytes;
      keys += length * bytes;
      values += length * bytes;
    }
  }
}

function moveAndAdd(from: usize, to: usize, sum: usize): void {
  const value = v128.load(from);
  v128.store(to, value);
  v128.store(sum, add(v128.load(sum), value));
}
