/** How a pool of compute threads comes up: all compile the step, then all are given the memory that they share. */
import { stepSpecOf } from '@coord/engine';
import {
  bucketsOf,
  createLayout,
  type EngineName,
  type RunSpec,
  streamKey,
  systemClock,
  tallyParts,
} from '@coord/protocol';
import { allocate, type PoolMemory } from './allocate.js';
import { ComputeClient, type ComputeThread } from './compute-client.js';
import { ComputePool, type PoolPlan } from './compute-pool.js';
import { WatchedThread } from './watched-thread.js';

/**
 * @param engine instead of the run's: integer sums keep the replicas equal, though not equal to a run on one engine.
 * @throws CoordError ENGINE_UNAVAILABLE, ENGINE_UNSUPPORTED, MODEL_INVALID.
 */
export async function startPool(
  run: RunSpec,
  threadCount: number,
  engine: EngineName = run.engine.name,
  startThread: (name: string) => ComputeThread = startRealThread,
): Promise<ComputePool> {
  const threads = Array.from({ length: threadCount }, (_, index) => startThread(`compute-${index}`));
  try {
    const plan = await compile(threads, run, engine);
    const memory = allocate(plan.layout, run, threadCount);
    await attach(threads, run, plan, memory);
    return new ComputePool(threads, memory, plan);
  } catch (error) {
    await Promise.all(threads.map((thread) => thread.terminate()));
    throw error;
  }
}

const startRealThread = (name: string): ComputeThread => new WatchedThread(new ComputeClient(name), name, systemClock);

async function compile(threads: readonly ComputeThread[], run: RunSpec, engine: EngineName): Promise<PoolPlan> {
  const request = {
    kind: 'compile',
    engine: { name: engine, threads: run.engine.threads, sharesProcess: threads.length > 1 },
    step: stepSpecOf(run),
  } as const;
  const [{ parameters, identity }] = await Promise.all(threads.map((thread) => thread.call(request)));
  const layout = createLayout(parameters);
  const { wire, bucketBytes } = run.ring;
  return {
    layout,
    identity,
    wire,
    buckets: bucketsOf(layout, bucketBytes),
    tally: tallyParts(run.metrics, 'training'),
  };
}

async function attach(threads: readonly ComputeThread[], run: RunSpec, plan: PoolPlan, memory: PoolMemory) {
  const { buckets, wire } = plan;
  const { optimizer, regularization, seed } = run;
  const shared = { memory: memory.arena.memory, buckets, wire, optimizer, regularization };
  const roundingKey = streamKey(seed, 'rounding');
  await Promise.all(
    threads.map((thread, index) =>
      thread.call({ kind: 'attach', ...shared, roundingKey, buffers: memory.buffers[index] }),
    ),
  );
}
