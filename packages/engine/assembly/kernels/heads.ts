/**
 * Attention's rearranging: queries, keys and values of all heads side by side, [count, length, 3, heads, depth], and each by
 * itself, [count, heads, length, depth].
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
): void {
  const stride = (heads * depth) << 2;
  const bytes = depth << 2;
  for (let sample: usize = 0; sample < count; sample++) {
    for (let head: usize = 0; head < heads; head++) {
      let from = joined + sample * length * stride * 3 + head * bytes;
      for (let place: usize = 0; place < length; place++) {
        for (let at: usize = 0; at < bytes; at += 16) {
          v128.store(queries + at, v128.load(from + at));
          v128.store(keys + at, v128.load(from + stride + at));
          v128.store(values + at, v128.load(from + 2 * stride + at));
        }
        from += 3 * stride;
        queries += bytes;
        keys += bytes;
        values += bytes;
      }
    }
  }
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
): void {
  const stride = (heads * depth) << 2;
  const bytes = depth << 2;
  memory.fill(sums, 0, 3 * stride);
  for (let sample: usize = 0; sample < count; sample++) {
    for (let head: usize = 0; head < heads; head++) {
      let to = joined + sample * length * stride * 3 + head * bytes;
      const total = sums + head * bytes;
      for (let place: usize = 0; place < length; place++) {
        for (let at: usize = 0; at < bytes; at += 16) {
          moveAndAdd(queries + at, to + at, total + at);
          moveAndAdd(keys + at, to + stride + at, total + stride + at);
          moveAndAdd(values + at, to + 2 * stride + at, total + 2 * stride + at);
        }
        to += 3 * stride;
        queries += bytes;
        keys += bytes;
        values += bytes;
      }
    }
  }
}

function moveAndAdd(from: usize, to: usize, sum: usize): void {
  const value = v128.load(from);
  v128.store(to, value);
  v128.store(sum, add(v128.load(sum), value));
}
