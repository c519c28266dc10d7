/**
 * The exact sum between threads of one process, which share memory: each thread takes a range of what all threads have. There is
 * one result, which all read. Integer addition does not care who adds what, so the bits are those of a ring.
 */
import { BLOCK_SIZE, type ElementRange } from '@coord/protocol';
import type { QuantiseMode } from './exact-sum.js';
import type { Kernels } from './kernels.js';

export interface ThreadSums {
  readonly kernels: Kernels;
  /** Integer sums of grains, in whole blocks, of each thread that has some; they stay as they are. */
  readonly sums: readonly Int32Array[];
}

/** One grain's floats, which its maker knows. Ranges are of whole blocks, and integers and means as long as the range. */
export interface GrainFloats {
  quantise(range: ElementRange, into: Int32Array, mode: QuantiseMode): void;
  /** Adds to the sums, which are of no use afterwards, and makes the mean of them. */
  average(range: ElementRange, sums: Int32Array, divisor: number, mean: Float32Array): void;
}

export interface ThreadMean extends ThreadSums {
  /** Grains that no sum holds yet: they become integers on the way. */
  readonly floats: readonly GrainFloats[];
  /** One a block. */
  readonly quanta: Uint8Array;
  readonly divisor: number;
  /** Of as many values as the sums; float32. It may be the memory of a grain's floats. */
  readonly mean: Float32Array;
  /** This thread's own, in the arena, of any whole number of blocks: a piece is added up there. */
  readonly room: Int32Array;
}

/** As integers, as floats of each thread and as mean a piece of this length stays in the cache. */
export const THREAD_PIECE_VALUES = 128 * BLOCK_SIZE;

/** into = sum of all threads' sums in the range. */
export function addThreads({ kernels, sums }: ThreadSums, { start, end }: ElementRange, into: Int32Array): void {
  const parts = sums.map((one) => one.subarray(start, end));
  addAll(kernels, parts, into);
}

function addAll(kernels: Kernels, [first, ...others]: readonly Int32Array[], into: Int32Array): void {
  if (!first) into.fill(0);
  else if (others.length === 0 && first !== into) into.set(first);
  others.forEach((other, index) => {
    kernels.addInt32(into, index === 0 ? first : into, other);
  });
}

/** mean = sum ÷ divisor in the range, piece by piece: all is read once, and nothing but the mean is written to memory. */
export function averageThreads(options: ThreadMean, { start, end }: ElementRange): void {
  const { kernels, sums, floats, quanta, divisor, mean, room } = options;
  const [last, ...others] = floats;
  for (let at = start; at < end; at += room.length) {
    const piece = { start: at, end: Math.min(end, at + room.length) };
    const sum = room.subarray(0, piece.end - piece.start);
    others.forEach((grain, index) => {
      grain.quantise(piece, sum, index === 0 ? 'store' : 'add');
    });
    const parts = sums.map((one) => one.subarray(piece.start, piece.end));
    addAll(kernels, others.length > 0 ? [sum, ...parts] : parts, sum);
    const pieceMean = mean.subarray(piece.start, piece.end);
    if (last) last.average(piece, sum, divisor, pieceMean);
    else kernels.dequantise(sum, quanta.subarray(piece.start / BLOCK_SIZE, piece.end / BLOCK_SIZE), divisor, pieceMean);
  }
}
