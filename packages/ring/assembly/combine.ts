// Integers of two ranks or threads to one, in place of either.
import { BLOCK_BYTES, VECTOR_BYTES } from './blocks';
import { loadWide, storeNarrow } from './wire';

// out = a + b in T, wrapping around. `out` may be `a` or `b`.
function add<T>(out: usize, a: usize, b: usize, count: i32): void {
  const bytes = <usize>count * sizeof<T>();
  const vectorEnd = a + (bytes & ~(2 * VECTOR_BYTES - 1));
  const end = a + bytes;
  while (a < vectorEnd) {
    v128.store(out, v128.add<T>(v128.load(a), v128.load(b)));
    v128.store(out, v128.add<T>(v128.load(a, 16), v128.load(b, 16)), 16);
    a += 2 * VECTOR_BYTES;
    b += 2 * VECTOR_BYTES;
    out += 2 * VECTOR_BYTES;
  }
  while (a < end) {
    store<T>(out, <T>(load<T>(a) + load<T>(b)));
    a += sizeof<T>();
    b += sizeof<T>();
    out += sizeof<T>();
  }
}

export function addInt32(out: usize, a: usize, b: usize, count: i32): void {
  add<i32>(out, a, b, count);
}

export function addInt16(out: usize, a: usize, b: usize, count: i32): void {
  add<i16>(out, a, b, count);
}

export function addInt8(out: usize, a: usize, b: usize, count: i32): void {
  add<i8>(out, a, b, count);
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
