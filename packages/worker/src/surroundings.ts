/** What a worker takes from its surroundings: time, chance, the way to others, devices, samples. Simulations put others in. */
import { type BatchReader, createBatchReader, createBlockCache } from '@coord/data';
import { type Clock, type EngineName, type RunSpec, systemClock } from '@coord/protocol';
import type { Logger } from 'pino';
import type { Compute } from './compute/compute-pool.js';
import { startPool } from './compute/start-pool.js';
import type { CoordinatorConnection } from './coordinator-connection.js';
import { openReach, type Reach, type ReachOptions } from './reach.js';

const BLOCK_MEMORY_BYTES = 1024 * 1024 * 1024;

/** Readers of both splits. */
export interface Readers {
  readonly train: BatchReader;
  readonly test: BatchReader | undefined;
}

export interface ReaderOptions {
  readonly cacheDirectory: string;
  readonly logger: Logger;
}

export interface Surroundings {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  openReach(options: ReachOptions): Promise<Reach>;
  startCompute(run: RunSpec, threadCount: number, engine?: EngineName): Promise<Compute>;
  openReaders(connection: CoordinatorConnection, options: ReaderOptions): Readers;
}

export const realSurroundings: Surroundings = {
  clock: systemClock,
  random: Math.random,
  openReach,
  startCompute: (run, threads, engine) => startPool(run, threads, engine),
  openReaders,
};

/** Over one cache, which asks the coordinator for blocks that it lacks. */
function openReaders(connection: CoordinatorConnection, { cacheDirectory, logger }: ReaderOptions): Readers {
  const { data } = connection.welcome.run;
  const blocks = createBlockCache({
    directory: cacheDirectory,
    memoryBytes: BLOCK_MEMORY_BYTES,
    fetch: (sha256) => connection.ask((session) => session.requestBlock(sha256)),
    onProblem: (problem) => logger.warn(problem, 'the cache of data blocks had to be repaired or passed by'),
  });
  return {
    train: createBatchReader(data, 'train', blocks),
    test: data.test && createBatchReader(data, 'test', blocks),
  };
}
