/** The sums of a host's threads: whose grains of which step they hold. */
import { createLayout } from '@coord/protocol';
import { quantaFor, type Reduction } from '@coord/ring';
import { afterEach, describe, expect, it } from 'vitest';
import type { ComputePool, OnBucket } from '../src/compute/compute-pool.js';
import { addGrain, startInlinePool } from './inline-pool.js';
import { testRun } from './scripted-coordinator.js';

const LAYOUT = createLayout([
  { name: 'dense/kernel', shape: [20, 30], role: 'trainable' },
  { name: 'dense/bias', shape: [30], role: 'trainable' },
]);
const GRAINS = 4;
const ONE_BIG_EXPONENT = 130;

/** The gradient of grain g is g + 1 everywhere. */
const gradientOf = (grain: number, out: Float32Array): void => {
  for (const { offset, size } of LAYOUT.parameters) out.fill(grain + 1, offset, offset + size);
};

let pool: ComputePool;
async function start(threads: number): Promise<ComputePool> {
  pool = await startInlinePool(testRun(), threads, LAYOUT, gradientOf);
  quantaFor(new Uint8Array(LAYOUT.blockCount).fill(ONE_BIG_EXPONENT), GRAINS, pool.quanta);
  pool.clear();
  return pool;
}
afterEach(() => pool.close());

const add = (thread: number, grain: number, onBucket?: OnBucket) =>
  addGrain(pool, thread, { grain, grains: GRAINS }, onBucket && { onBucket });
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
