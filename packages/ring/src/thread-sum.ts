/**
 * The exact sum between threads of one process, which share memory: each thread takes a range of all threads' sums. There is one
 * result, which all read. Integer addition does not care who adds what, so the bits are those of a ring.
 */
import { BLOCK_SIZE, type ElementRange } from '@coord/protocol';
import type { Kernels } from './kernels.js';

export interface ThreadSums {
  readonly kernels: Kernels;
  /** Integer sums of each thread's grains, in whole blocks; they stay as they are. */
  readonly allSums: readonly Int32Array[];
}

export interface ThreadMean extends ThreadSums {
  /** One a block. */
  readonly quanta: Uint8Array;
  readonly divisor: number;
  /** Of as many values as the sums; float32. */
  readonly mean: Float32Array;
  /** This thread's own, in the arena, of any whole number of blocks: a piece is added up there. */
  readonly room: Int32Array;
}

/** As sum and as mean a piece of this length stays in the cache. */
export const THREAD_PIECE_VALUES = 128 * BLOCK_SIZE;

/** into = sum of all threads' sums in the range. */
export function addThreads({ kernels, allSums }: ThreadSums, { start, end }: ElementRange, into: Int32Array): void {
  const [first, ...others] = allSums.map((sums) => sums.subarray(start, end));
  if (others.length === 0) into.set(first);
  others.forEach((sums, index) => {
    kernels.addInt32(into, index === 0 ? first : into, sums);
  });
}

/** mean = sum ÷ divisor in the range, piece by piece: the sums are read once, and nothing but the mean is written to memory. */
export function averageThreads(options: ThreadMean, { start, end }: ElementRange): void {
  const { kernels, quanta, divisor, mean, room } = options;
  for (let at = start; at < end; at += room.length) {
    const piece = { start: at, end: Math.min(end, at + room.length) };
    const sum = room.subarray(0, piece.end - piece.start);
    addThreads(options, piece, sum);
    const pieceQuanta = quanta.subarray(piece.start / BLOCK_SIZE, piece.end / BLOCK_SIZE);
    kernels.dequantise(sum, pieceQuanta, divisor, mean.subarray(piece.start, piece.end));
  }
}
