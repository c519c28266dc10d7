/** Program of one thread of the bench; see threads.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { BLOCK_SIZE, type ElementRange } from '@coord/protocol';
import type { QuantiseResult } from '../exact-sum.js';
import { createKernels } from '../kernels.js';
import { averageThreads, type GrainFloats } from '../thread-sum.js';
import { benchSum, benchValue, type Timing } from './contender.js';

interface ThreadBuffers {
  readonly gradients: Float32Array;
  /** Where a piece is added up: it never leaves this thread's cache. */
  readonly room: Int32Array;
  readonly exponents: Uint8Array;
}

export interface ThreadSetup {
  readonly rank: number;
  readonly ranks: number;
  readonly memory: WebAssembly.Memory;
  readonly quanta: Uint8Array;
  readonly each: readonly ThreadBuffers[];
  /** Threads that have arrived, and how often all have. */
  readonly barrier: Int32Array;
}

const { rank, ranks, memory, quanta, each, barrier } = workerData as ThreadSetup;
const kernels = createKernels(memory);
const { gradients, room } = each[rank];
/** The result, which all threads read. */
const mean = each[0].gradients;
const floats = each.map(floatsOf);
const SPINS = 20_000;

function meet(): void {
  const round = Atomics.load(barrier, 1);
  if (Atomics.add(barrier, 0, 1) === ranks - 1) {
    Atomics.store(barrier, 0, 0);
    Atomics.add(barrier, 1, 1);
    Atomics.notify(barrier, 1);
    return;
  }
  for (let spin = 0; spin < SPINS; spin++) if (Atomics.load(barrier, 1) !== round) return;
  while (Atomics.load(barrier, 1) === round) Atomics.wait(barrier, 1, round);
}

/** As compute threads have their last grains. */
function floatsOf({ gradients, exponents }: ThreadBuffers): GrainFloats {
  const operands = ({ start, end }: ElementRange) => {
    const blocks = [start / BLOCK_SIZE, end / BLOCK_SIZE] as const;
    return [gradients.subarray(start, end), quanta.subarray(...blocks), ranks, exponents.subarray(...blocks)] as const;
  };
  const check = ({ overflow }: QuantiseResult) => {
    if (overflow) throw new Error('a value of the bench did not fit');
  };
  return {
    quantise(range, into, mode) {
      const [values, ofBlocks, grains, shown] = operands(range);
      check(kernels.quantiseGrain(values, ofBlocks, grains, into, shown, mode));
    },
    average(range, sums, divisor, out) {
      const [values, ofBlocks, grains, shown] = operands(range);
      check(kernels.averageGrain(values, ofBlocks, grains, sums, shown, divisor, out));
    },
  };
}

/** This thread's share of the mean, as threads of a host that is alone do it. */
function average(blocks: number): void {
  const [start, end] = [rank, rank + 1].map((part) => Math.round((blocks * part) / ranks) * BLOCK_SIZE);
  averageThreads({ kernels, sums: [], floats, quanta, divisor: 1, mean, room }, { start, end });
}

function time(bytes: number, iterations: number): Timing {
  const count = bytes / 4;
  const blocks = Math.ceil(count / BLOCK_SIZE);
  const source = new Float32Array(blocks * BLOCK_SIZE);
  for (let index = 0; index < count; index++) source[index] = benchValue(rank, index);
  const ms: number[] = [];
  for (let iteration = 0; iteration < iterations; iteration++) {
    gradients.set(source);
    meet();
    const startMs = performance.now();
    average(blocks);
    meet();
    ms.push(performance.now() - startMs);
  }
  let wrong = 0;
  for (let index = 0; index < count; index++) if (mean[index] !== benchSum(ranks, index)) wrong++;
  return { ms, wrong };
}

parentPort?.on('message', ({ bytes, iterations }: { bytes: number; iterations: number }) => {
  parentPort?.postMessage(time(bytes, iterations));
});
