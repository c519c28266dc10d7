/** The sums of a host's threads: whose grains of which step they hold. */
import type { CompiledStep, Engine } from '@coord/engine';
import { createLayout, type MetricSums } from '@coord/protocol';
import { quantaFor, type Reduction } from '@coord/ring';
import { afterEach, describe, expect, it } from 'vitest';
import type { ComputeThread } from '../src/compute/compute-client.js';
import { ComputePool } from '../src/compute/compute-pool.js';
import { createComputeWork } from '../src/compute/compute-work.js';
import { testRun } from './scripted-coordinator.js';

const LAYOUT = createLayout([
  { name: 'dense/kernel', shape: [20, 30], role: 'trainable' },
  { name: 'dense/bias', shape: [30], role: 'trainable' },
]);
const GRAINS = 4;
const ONE_BIG_EXPONENT = 130;
const metrics: MetricSums = { loss: 0, correct: 0, samples: 1 };

/** Its gradient of grain g is g + 1 everywhere. */
const step: CompiledStep = {
  layout: LAYOUT,
  async gradient(_weights, _batch, { grain }, out, { stages } = {}) {
    out.fill(0);
    for (const { offset, size } of LAYOUT.parameters) out.fill(grain + 1, offset, offset + size);
    stages?.buckets.forEach((_, bucket) => {
      stages.onComplete(bucket);
    });
    return metrics;
  },
  evaluate: async () => metrics,
  predict: async () => [],
  dispose() {},
};
const engine: Engine = {
  name: 'counting',
  identity: { engine: 'counting', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 },
  compile: async () => step,
  dispose() {},
};

/** The work of a thread, done by the caller's. */
function inlineThread(): ComputeThread {
  const answer = createComputeWork(async () => engine);
  return {
    call: async (request, _transfer, onProgress) =>
      (await answer(request, (progress) => onProgress?.(progress))) as never,
    async terminate() {},
  };
}

let pool: ComputePool;
async function start(threads: number): Promise<ComputePool> {
  pool = await ComputePool.start(testRun(), threads, undefined, inlineThread);
  quantaFor(new Uint8Array(LAYOUT.blockCount).fill(ONE_BIG_EXPONENT), GRAINS, pool.quanta);
  pool.clear();
  return pool;
}
afterEach(() => pool.close());

const batch = () => ({ inputs: [new Float32Array(4)], targets: [], count: 1 });
const add = (thread: number, grain: number, onBucket?: (bucket: number) => void) =>
  pool.addGrain(thread, { step: 0, grain, grains: GRAINS, weightsSha256: '' }, batch(), onBucket);
const isEverywhere = (values: ArrayLike<number>, expected: number) =>
  LAYOUT.parameters.every(({ offset, size }) =>
    Array.from({ length: size }, (_, index) => values[offset + index]).every((value) => value === expected),
  );
/** What the host would bring to the ring; int32 is read where it lies. */
const ownOf = (reduction: Reduction) => {
  const { buffer, byteOffset, length } = reduction.own(0, reduction.totalBytes, new Uint8Array(0));
  return new Int32Array(buffer, byteOffset, length / 4);
};

describe('the sums of a host', () => {
  it('are of all grains of the step, whichever threads computed them', async () => {
    await start(2);
    for (const [thread, grain] of [
      [0, 0],
      [1, 1],
      [1, 2],
      [0, 3],
    ])
      await add(thread, grain);
    await pool.average(1);
    expect(isEverywhere(pool.mean, 1 + 2 + 3 + 4)).toBe(true);
  });

  it('hold nothing of the step before, also of threads that have no grain in this one', async () => {
    await start(3);
    for (const thread of [0, 1, 2]) await add(thread, thread);
    await pool.average(1);
    pool.clear();
    await add(1, 3);
    await pool.average(2);
    expect(isEverywhere(pool.mean, 2)).toBe(true);
  });

  it('are zero for a host that has no grain in the step', async () => {
    await start(1);
    await add(0, 0);
    pool.clear();
    expect(isEverywhere(ownOf(await pool.collect(1)), 0)).toBe(true);
  });

  it('stay as they are when they are read, for a reduction that fails', async () => {
    await start(2);
    await add(0, 0);
    await pool.average(1);
    await add(1, 1);
    await pool.average(1);
    expect(isEverywhere(pool.mean, 3)).toBe(true);
  });

  it('are the same bucket by bucket', async () => {
    await start(2);
    await add(0, 0);
    pool.clear();
    const done: number[] = [];
    await add(1, 2, (bucket) => done.push(bucket));
    expect(done).toEqual(pool.buckets.map((_, bucket) => bucket));
    const sums = new Int32Array(LAYOUT.totalSize);
    for (const bucket of done) sums.set(ownOf(pool.collectBucket(bucket, 1)), pool.buckets[bucket].start);
    const quantum = 2 ** (pool.quanta[0] - 127);
    expect(isEverywhere(sums, 3 / quantum)).toBe(true);
  });
});
