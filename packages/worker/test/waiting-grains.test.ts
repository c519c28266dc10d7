/** Grains that wait as floats until the mean is made have the bits, flags and exponents that they would have had in their sums. */
import { createLayout, type WireFormat } from '@coord/protocol';
import { quantaFor } from '@coord/ring';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ComputePool, GrainOutcome } from '../src/compute/compute-pool.js';
import { addGrain, startInlinePool } from './inline-pool.js';
import { testRun } from './scripted-coordinator.js';

/** More blocks than a thread takes at a time. */
const LAYOUT = createLayout([
  { name: 'dense/kernel', shape: [120, 300], role: 'trainable' },
  { name: 'dense/bias', shape: [300], role: 'trainable' },
]);

const gradientValue = fc.oneof(
  { weight: 20, arbitrary: fc.float({ min: -1, max: 1, noNaN: true }) },
  { weight: 2, arbitrary: fc.constantFrom(0, -0, 1e-40, Math.fround(1e-30), 64) },
  // Where something does not fit or is not finite, all the same is told of it.
  { weight: 1, arbitrary: fc.constantFrom(Math.fround(3e38), Number.POSITIVE_INFINITY, Number.NaN) },
);

interface Given {
  readonly wire: WireFormat;
  readonly threads: number;
  /** By grain: the thread that computes it, and the values of its gradient, again and again. */
  readonly grains: readonly { readonly thread: number; readonly values: readonly number[] }[];
}

const given: fc.Arbitrary<Given> = fc.record({
  wire: fc.constantFrom('int32', 'int16', 'int8'),
  threads: fc.integer({ min: 1, max: 3 }),
  grains: fc.array(fc.record({ thread: fc.nat(2), values: fc.array(gradientValue, { minLength: 1, maxLength: 40 }) }), {
    minLength: 1,
    maxLength: 6,
  }),
});

async function start({ wire, threads, grains }: Given): Promise<ComputePool> {
  const run = testRun({ ring: { overlap: 'auto', bucketBytes: 1 << 20, wire } });
  const pool = await startInlinePool(run, threads, LAYOUT, (grain, out) => {
    const { values } = grains[grain];
    for (const { offset, size } of LAYOUT.parameters) {
      for (let at = 0; at < size; at++) out[offset + at] = values[(at * 7 + grain) % values.length];
    }
  });
  quantaFor(new Uint8Array(LAYOUT.blockCount).fill(127), grains.length, pool.quanta, wire);
  pool.clear();
  return pool;
}

/** Computes grains [first, end) as a step does; with `waiting`, the last of each thread stays as it is. */
async function compute(pool: ComputePool, { grains }: Given, first: number, end: number, waiting: boolean) {
  const outcomes: GrainOutcome[] = [];
  for (let grain = first; grain < end; grain++) {
    const thread = grains[grain].thread % pool.size;
    const isLast = grains.slice(grain + 1, end).every((later) => later.thread % pool.size !== thread);
    const at = { grain, grains: grains.length };
    outcomes.push(await addGrain(pool, thread, at, { staysFloat: waiting && isLast }));
  }
  return outcomes;
}

/** Bytes, since comparing them is quick. */
async function meanOf(pool: ComputePool): Promise<Buffer> {
  await pool.average(3);
  const { buffer, byteOffset, byteLength } = pool.mean;
  return Buffer.from(buffer, byteOffset, byteLength);
}

function exponentsOf(pool: ComputePool): Buffer {
  const out = Buffer.alloc(LAYOUT.blockCount);
  pool.collectExponents(out);
  return out;
}

/** What a ring would be given, in int32 as it lies in memory. */
async function sumsOf(pool: ComputePool): Promise<Buffer> {
  const reduction = await pool.collect(3);
  const { buffer, byteOffset, byteLength } = reduction.own(0, reduction.totalBytes, new Uint8Array(0));
  return Buffer.from(buffer, byteOffset, byteLength);
}

const expectEqual = (actual: Buffer, expected: Buffer): void => expect(Buffer.compare(actual, expected)).toBe(0);

describe('grains that wait as floats', () => {
  it('come out as if they had been added to their sums at once', async () => {
    await fc.assert(
      fc.asyncProperty(given, async (step) => {
        const [plain, subject] = [await start(step), await start(step)];
        const expected = await compute(plain, step, 0, step.grains.length, false);
        const outcomes = await compute(subject, step, 0, step.grains.length, true);
        expectEqual(await meanOf(subject), await meanOf(plain));
        expectEqual(exponentsOf(subject), exponentsOf(plain));
        expect(outcomes).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });

  it('are kept through a change of view', async () => {
    await fc.assert(
      fc.asyncProperty(given, fc.nat(6), async (anyStep, before) => {
        const step = { ...anyStep, wire: 'int32' as const };
        const cut = Math.min(before, step.grains.length);
        const [plain, subject] = [await start(step), await start(step)];
        const kept = await compute(subject, step, 0, cut, true);
        await subject.settle();
        expect(kept).toEqual(await compute(plain, step, 0, cut, false));
        await compute(plain, step, cut, step.grains.length, false);
        await compute(subject, step, cut, step.grains.length, false);
        expectEqual(await sumsOf(subject), await sumsOf(plain));
        expectEqual(exponentsOf(subject), exponentsOf(plain));
        expectEqual(await meanOf(subject), await meanOf(plain));
      }),
      { numRuns: 100 },
    );
  });

  const twoGrains: Given = {
    wire: 'int32',
    threads: 2,
    grains: [
      { thread: 0, values: [0.5] },
      { thread: 1, values: [0.25] },
    ],
  };

  it('are forgotten with the step that they belong to', async () => {
    const pool = await start(twoGrains);
    await compute(pool, twoGrains, 0, 2, true);
    pool.clear();
    await compute(pool, twoGrains, 1, 2, true);
    await pool.average(1);
    expect(pool.mean[0]).toBe(0.25);
    pool.clear();
    await pool.average(1);
    expect(pool.mean.every((value) => value === 0)).toBe(true);
  });

  /** Whatever needs all grains of the step in sums. */
  async function expectRefusal(pool: ComputePool, reason: RegExp): Promise<void> {
    expect(() => pool.collectBucket(0, 1)).toThrow(reason);
    await expect(pool.collect(1)).rejects.toThrow(reason);
    await expect(addGrain(pool, 0, { grain: 0, grains: 2 })).rejects.toThrow(reason);
  }

  it('are never left out of a sum: whoever needs it must settle them first', async () => {
    const pool = await start(twoGrains);
    await compute(pool, twoGrains, 0, 2, true);
    await expectRefusal(pool, /waits to be added/);
    expect(() => exponentsOf(pool)).toThrow(/waits to be added/);
    await pool.settle();
    expect(Buffer.from(exponentsOf(pool)).includes(126)).toBe(true);
    await pool.average(1);
    expect(pool.mean[0]).toBe(0.75);
  });

  it('are used up by the mean, and no sum or second mean is made without them', async () => {
    const pool = await start(twoGrains);
    await compute(pool, twoGrains, 0, 2, true);
    expect(pool.isSpent).toBe(false);
    await pool.average(1);
    expect(pool.isSpent).toBe(true);
    await expectRefusal(pool, /are in no sum/);
    await expect(pool.average(1)).rejects.toThrow(/are in no sum/);
    pool.clear();
    expect(pool.isSpent).toBe(false);
  });
});
