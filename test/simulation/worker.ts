/** A real worker in a simulated process: its own loop, ring, kernels and optimizer; time, network and engine are simulated. */
import type { RunSpec } from '@coord/protocol';
import {
  type ComputeThread,
  createComputeWork,
  type GrainProgress,
  type Reach,
  type Surroundings,
  startPool,
  startWorker,
  WatchedThread,
} from '@coord/worker/testing';
import { pino } from 'pino';
import { simulatedEngine } from './engine.js';
import type { Network } from './network.js';
import { type Directory, SimulatedPeers } from './peer-network.js';
import type { Process } from './world.js';

const GRAIN_MS = 4;
/** For all threads' sums, so that a view may end meanwhile. */
const AVERAGE_MS = 1;
const PATIENCE_MS = 120_000;
/** Nobody waits for these, whatever they take. */
const PREPARING: ReadonlySet<string> = new Set(['compile', 'attach']);

export interface WorkerWorld {
  readonly network: Network;
  readonly directory: Directory;
  readonly random: () => number;
  /** How a worker gets to whichever coordinator lives now. */
  readonly dialCoordinator: (from: Process, timeoutMs: number) => ReturnType<Reach['dialCoordinator']>;
}

/** Computes in the process itself; a grain takes `GRAIN_MS` of its time or more, and its buckets are told of on the way. */
function simulatedThread(process: Process): ComputeThread {
  const { clock } = process;
  const answer = createComputeWork(async () => simulatedEngine);
  const pause = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
  return {
    async call(request, _transfer, onProgress) {
      if (process.isStuck && !PREPARING.has(request.kind)) return new Promise(() => {});
      const buckets: GrainProgress[] = [];
      const response = await answer(request, (progress) => buckets.push(progress));
      const stages = request.kind === 'grain' ? buckets.length + 1 : 0;
      if (request.kind === 'average') await pause(AVERAGE_MS);
      for (let stage = 0; stage < stages; stage++) {
        await pause((GRAIN_MS + process.slownessMs) / stages);
        if (buckets[stage]) onProgress?.(buckets[stage]);
      }
      return response as never;
    },
    async terminate() {},
  };
}

function surroundingsOf(process: Process, world: WorkerWorld): Surroundings {
  const reach: Reach = {
    dialCoordinator: (timeoutMs) => world.dialCoordinator(process, timeoutMs),
    openNetwork: async () => new SimulatedPeers(process, world.network, world.directory),
    async close() {},
  };
  return {
    clock: process.clock,
    random: world.random,
    openReach: async () => reach,
    startCompute: (run: RunSpec, threads) =>
      startPool(run, threads, undefined, (name) => new WatchedThread(simulatedThread(process), name, process.clock)),
    openReaders({ welcome }) {
      const { samples } = welcome.run.data.train;
      return {
        train: {
          samples,
          read: async (numbers) => ({ inputs: [Int32Array.from(numbers)], targets: [], count: numbers.length }),
        },
        test: undefined,
      };
    },
  };
}

export const startSimulatedWorker = (process: Process, token: string, world: WorkerWorld, computeThreads: number) =>
  startWorker(
    {
      url: 'simulated',
      token,
      name: process.name,
      computeThreads,
      cacheDirectory: 'none',
      coordinatorPatienceMs: PATIENCE_MS,
      logger: pino({ level: 'silent' }),
    },
    surroundingsOf(process, world),
  );
