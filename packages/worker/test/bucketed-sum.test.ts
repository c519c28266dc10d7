import { BLOCK_SIZE, bucketsOf, createLayout } from '@coord/protocol';
import { createRing, type Ring, referenceKernels, sumOfSums } from '@coord/ring';
import { createSegmentPair } from '@coord/transport/testing';
import { describe, expect, it } from 'vitest';
import { BucketedSum } from '../src/bucketed-sum.js';

const HOSTS = 3;
/** Biased exponent of the quantum 1. */
const ONE = 127;
const layout = createLayout(
  Array.from({ length: 7 }, (_, index) => ({
    name: `p${index}`,
    shape: [(index + 1) * 100],
    role: 'trainable' as const,
  })),
);
const buckets = bucketsOf(layout, 2 * BLOCK_SIZE * 4);

function memoryRings(): { rings: Ring[]; cut: () => void } {
  const pairs = Array.from({ length: HOSTS }, () => createSegmentPair());
  const rings = pairs.map(({ sender: next }, rank) => {
    const prev = pairs[(rank + HOSTS - 1) % HOSTS].receiver;
    return createRing({ rank, size: HOSTS, next, prev, timeoutMs: 5000 });
  });
  return { rings, cut: () => pairs[0].cut() };
}

/** The sums of a host of two threads, which are filled in as the "threads" complete buckets. */
function hostSums() {
  const threads = [new Int32Array(layout.totalSize), new Int32Array(layout.totalSize)];
  const total = new Int32Array(layout.totalSize);
  const mean = new Float32Array(layout.totalSize);
  return {
    threads,
    mean,
    size: threads.length,
    buckets,
    collectBucket(bucket: number) {
      const { start, end } = buckets[bucket];
      for (let at = start; at < end; at++) total[at] = threads[0][at] + threads[1][at];
      const sums = total.subarray(start, end);
      return sumOfSums({
        kernels: referenceKernels,
        wire: 'int32',
        quanta: new Uint8Array(sums.length / BLOCK_SIZE).fill(ONE),
        divisor: 1,
        sums,
        out: mean.subarray(start, end),
      });
    },
  };
}

const valueAt = (rank: number, thread: number, at: number): number => (rank + 1) * 1000 + thread * 100 + (at % 97);

describe('a bucketed sum', () => {
  it('adds up all buckets, in whatever order the threads of the hosts complete them', async () => {
    const { rings } = memoryRings();
    const hosts = rings.map(() => hostSums());
    const sums = rings.map((ring, rank) => new BucketedSum(ring, hosts[rank], 2, 1));
    const complete = (rank: number, thread: number, bucket: number) => {
      const { start, end } = buckets[bucket];
      for (let at = start; at < end; at++) hosts[rank].threads[thread][at] = valueAt(rank, thread, at);
      sums[rank].complete(bucket);
    };
    // Host 0 at once, host 1 thread by thread, host 2 with one thread ahead.
    for (const bucket of buckets.keys()) for (const thread of [0, 1]) complete(0, thread, bucket);
    for (const thread of [0, 1]) for (const bucket of buckets.keys()) complete(1, thread, bucket);
    for (const bucket of buckets.keys()) complete(2, 1, bucket);
    for (const bucket of buckets.keys()) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      complete(2, 0, bucket);
    }
    await Promise.all(sums.map((sum) => sum.done()));
    const expected = Float32Array.from({ length: layout.totalSize }, (_, at) =>
      [0, 1, 2].reduce((sum, rank) => sum + valueAt(rank, 0, at) + valueAt(rank, 1, at), 0),
    );
    for (const { mean } of hosts) expect(mean).toEqual(expected);
    await Promise.all(rings.map((ring) => ring.close()));
  });

  it('begins before the last bucket is complete, and a host without grains only takes part', async () => {
    const { rings } = memoryRings();
    const hosts = rings.map(() => hostSums());
    for (const host of hosts) for (const thread of host.threads) thread.fill(1);
    const sums = rings.map((ring, rank) => new BucketedSum(ring, hosts[rank], rank === 2 ? 0 : 1, 1));
    for (const rank of [0, 1]) sums[rank].complete(0);
    const first = buckets[0];
    while (hosts.some(({ mean }) => mean[first.start] !== 2 * HOSTS)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (const rank of [0, 1]) for (const bucket of [...buckets.keys()].slice(1)) sums[rank].complete(bucket);
    await Promise.all(sums.map((sum) => sum.done()));
    for (const { mean } of hosts) expect(mean.every((value) => value === 2 * HOSTS)).toBe(true);
    await Promise.all(rings.map((ring) => ring.close()));
  });

  it('reports a link that breaks while the threads compute when it is asked, and not before', async () => {
    const { rings, cut } = memoryRings();
    const hosts = rings.map(() => hostSums());
    const sums = rings.map((ring, rank) => new BucketedSum(ring, hosts[rank], 1, 1));
    for (const sum of sums) sum.complete(0);
    cut();
    await new Promise((resolve) => setTimeout(resolve, 10));
    for (const sum of sums) for (const bucket of [...buckets.keys()].slice(1)) sum.complete(bucket);
    for (const sum of sums) await expect(sum.done()).rejects.toMatchObject({ code: 'RING_BROKEN' });
  });
});
