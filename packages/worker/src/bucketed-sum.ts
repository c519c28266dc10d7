/**
 * Sums of a step that go over the ring bucket by bucket, each as soon as all threads of this host have added their last grain
 * to it, while they compute the rest of the backward pass. Every host reduces the buckets in the same order, from the end of
 * the layout to its start; what is early waits. The maxima follow when the last grain is complete.
 */
import type { Ring } from '@coord/ring';
import type { Compute } from './compute/compute-pool.js';
import type { SumAhead } from './sum-ahead.js';

export class BucketedSum implements SumAhead {
  readonly ofLast = { onBucket: (bucket: number) => this.complete(bucket) };
  /** By bucket: threads of this host that have still to add to it. */
  readonly #missing: number[];
  readonly #sums: Promise<void>[] = [];

  /**
   * @param grains how many this host computes in the step; what it holds of an earlier view is in its sums already.
   * @param samples of the whole step, to average over.
   */
  constructor(
    private readonly ring: Ring,
    private readonly compute: Pick<Compute, 'buckets' | 'collectBucket' | 'size'>,
    grains: number,
    private readonly samples: number,
  ) {
    const threads = Math.min(grains, compute.size);
    this.#missing = compute.buckets.map(() => threads);
    if (threads === 0) for (const bucket of compute.buckets.keys()) this.#reduce(bucket);
  }

  /** A thread has added its last grain to the bucket; each does so with every bucket once, in their order. */
  complete(bucket: number): void {
    if (--this.#missing[bucket] === 0) this.#reduce(bucket);
  }

  /** Resolves when the mean of all buckets is in `compute`. @throws CoordError RING_BROKEN, RING_TIMEOUT, VIEW_CHANGED. */
  async done(): Promise<void> {
    await Promise.all(this.#sums);
  }

  #reduce(bucket: number): void {
    const sum = this.ring.allReduce(this.compute.collectBucket(bucket, this.samples));
    sum.catch(() => {}); // `done` reports it
    this.#sums.push(sum);
  }
}
