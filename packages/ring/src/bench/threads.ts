/**
 * Threads of one process as a contender: float32 gradients of each in shared memory, no ring. It is what the compute threads of a
 * host do that is alone, with the same code: each takes one range of all threads' gradients to the mean, which takes the
 * place of the first thread's.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { arenaBytes, BLOCK_SIZE, createArena } from '@coord/protocol';
import { quantaFor } from '../exact-sum.js';
import { THREAD_PIECE_VALUES } from '../thread-sum.js';
import type { Contender, Timing } from './contender.js';
import type { ThreadSetup } from './thread-rank.js';

// The built program, also when this file runs from source.
const PROGRAM = new URL('../../dist/bench/thread-rank.js', import.meta.url);
const LARGEST_EXPONENT = 127 + 7;

const padded = (bytes: number): number => Math.ceil(bytes / 4 / BLOCK_SIZE) * BLOCK_SIZE;

function setUp(ranks: number, maxBytes: number): Omit<ThreadSetup, 'rank'> {
  const count = padded(maxBytes);
  const blocks = count / BLOCK_SIZE;
  const buffers = Array.from({ length: ranks }, () => count * 4);
  const rooms = Array.from({ length: ranks }, () => THREAD_PIECE_VALUES * 4);
  const arena = createArena(
    arenaBytes([...buffers, ...rooms, blocks, ...Array.from({ length: ranks }, () => blocks), 64]) + 65536,
  );
  const quanta = arena.uint8(blocks);
  quantaFor(new Uint8Array(blocks).fill(LARGEST_EXPONENT), ranks, quanta, 'int32', true);
  const each = Array.from({ length: ranks }, () => ({
    gradients: arena.float32(count),
    room: arena.int32(THREAD_PIECE_VALUES),
    exponents: arena.uint8(blocks),
  }));
  return { ranks, memory: arena.memory, quanta, each, barrier: arena.int32(16) };
}

export async function startThreads(ranks: number, maxBytes: number): Promise<Contender> {
  const setup = setUp(ranks, maxBytes);
  const threads = Array.from({ length: ranks }, (_, rank) => new Worker(PROGRAM, { workerData: { ...setup, rank } }));
  const ask = async (thread: Worker, command: { bytes: number; iterations: number }): Promise<Timing> => {
    // Rejects when the thread fails, and leaves no listener behind.
    const answer = once(thread, 'message');
    thread.postMessage(command);
    return (await answer)[0] as Timing;
  };
  return {
    name: 'shm',
    ranks,
    async time(bytes, iterations) {
      const timings = await Promise.all(threads.map((thread) => ask(thread, { bytes, iterations })));
      return { ms: timings[0].ms, wrong: timings.reduce((sum, { wrong }) => sum + wrong, 0) };
    },
    async stop() {
      await Promise.all(threads.map((thread) => thread.terminate()));
    },
  };
}
