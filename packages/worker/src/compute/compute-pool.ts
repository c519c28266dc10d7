/**
 * The compute threads of a host and the buffers that they share with its ring. Threads add grains to accumulators of their
 * own; integer sums make it irrelevant which thread took which grain.
 */
import { createOptimizer, stepSpecOf } from '@coord/engine';
import {
  type Arena,
  addMetrics,
  arenaBytes,
  type Batch,
  BLOCK_SIZE,
  bucketsOf,
  createArena,
  createLayout,
  type ElementRange,
  type EngineName,
  type Layout,
  type MetricSums,
  metricWords,
  type NumericIdentity,
  type RunSpec,
  readMetrics,
  type TallyPart,
  tallyParts,
} from '@coord/protocol';
import { createKernels, type Kernels } from '@coord/ring';
import { ComputeClient, type ComputeThread } from './compute-client.js';
import type { ThreadBuffers } from './requests.js';

/** What the ring takes from the arena for segments that arrive. */
const RING_SCRATCH_BYTES = 4 * 1024 * 1024;

export interface GrainPlace {
  readonly step: number;
  readonly grain: number;
  /** Grains of the whole step. */
  readonly grains: number;
  /** Hash of the weights in force. */
  readonly weightsSha256: string;
}

/** Called when a grain's share of a bucket is in its thread's sums, bucket by bucket in their order. */
export type OnBucket = (bucket: number) => void;

export interface GrainOutcome {
  readonly metrics: MetricSums;
  readonly overflow: boolean;
  readonly nonFinite: boolean;
}

interface PoolBuffers extends ThreadBuffers {
  /** The thread's sums with room for the metrics behind them. */
  readonly tailedSums: Int32Array;
}

/** What the step loop needs of a pool. */
export type Compute = Pick<ComputePool, keyof ComputePool>;

/** What the ring reduces for one bucket; both may be the same memory. */
export interface BucketSums {
  readonly own: Int32Array;
  readonly total: Int32Array;
}

export class ComputePool {
  readonly #kernels: Kernels;

  private constructor(
    readonly layout: Layout,
    readonly identity: NumericIdentity,
    readonly arena: Arena,
    readonly weights: Float32Array,
    readonly slots: ReadonlyMap<string, Float32Array>,
    /** Largest exponents of the step before, a block each: part of the training state. */
    readonly exponents: Uint8Array,
    readonly quanta: Uint8Array,
    /** Summed gradients of the step, then the metrics' words: what the ring reduces. */
    readonly total: Int32Array,
    readonly buckets: readonly ElementRange[],
    private readonly threads: readonly ComputeThread[],
    private readonly buffers: readonly PoolBuffers[],
    /** What training steps tally. */
    private readonly tally: readonly TallyPart[],
  ) {
    this.#kernels = createKernels(arena.memory);
    this.checksum = this.#kernels.checksum;
  }

  get size(): number {
    return this.threads.length;
  }

  /** Of bytes that lie in the arena; computed by the caller's thread. */
  readonly checksum: (bytes: Uint8Array) => number;

  /**
   * @param engine instead of the run's: integer sums keep the replicas equal, though not equal to a run on one engine.
   * @throws CoordError ENGINE_UNAVAILABLE, ENGINE_UNSUPPORTED, MODEL_INVALID.
   */
  static async start(
    run: RunSpec,
    threadCount: number,
    engine?: EngineName,
    startThread: (name: string) => ComputeThread = (name) => new ComputeClient(name),
  ): Promise<ComputePool> {
    const request = compileRequest(run, threadCount, engine);
    const threads = Array.from({ length: threadCount }, (_, index) => startThread(`compute-${index}`));
    try {
      const compiled = await Promise.all(threads.map((thread) => thread.call(request)));
      const layout = createLayout(compiled[0].parameters);
      const tally = tallyParts(run.metrics, 'training');
      const pool = allocate(layout, run, threadCount, tailWords(tally));
      const buckets = bucketsOf(layout, run.ring.bucketBytes);
      await Promise.all(
        threads.map((thread, index) =>
          thread.call({
            kind: 'attach',
            memory: pool.arena.memory,
            buffers: pool.buffers[index],
            buckets,
            optimizer: run.optimizer,
            regularization: run.regularization,
          }),
        ),
      );
      const { arena, weights, slots, exponents, quanta, total, buffers } = pool;
      const { identity } = compiled[0];
      return new ComputePool(
        layout,
        identity,
        arena,
        weights,
        slots,
        exponents,
        quanta,
        total,
        buckets,
        threads,
        buffers,
        tally,
      );
    } catch (error) {
      await Promise.all(threads.map((thread) => thread.terminate()));
      throw error;
    }
  }

  /** Forgets the grains added so far. */
  clear(): void {
    for (const { sums, exponents } of this.buffers) {
      sums.fill(0);
      exponents.fill(0);
    }
  }

  /**
   * Computes grain `grain` of `grains` on thread `thread` and adds it to that thread's sums. The batch is handed over. A
   * thread takes its grains in the order of these calls.
   *
   * @param onBucket where it is given, the grain is computed in stages.
   */
  addGrain(thread: number, at: GrainPlace, batch: Batch, onBucket?: OnBucket): Promise<GrainOutcome> {
    const request = { kind: 'grain', ...at, batch, inStages: onBucket !== undefined } as const;
    return this.threads[thread].call(request, buffersOf(batch), onBucket && (({ bucket }) => onBucket(bucket)));
  }

  /**
   * The host's own gradients and, behind them, its metrics, for the ring to read. The threads' sums stay as they are: should
   * the reduction fail, the grains need not be computed again.
   */
  async collect(metrics: readonly MetricSums[]): Promise<Int32Array> {
    const { totalSize } = this.layout;
    const own = this.size === 1 ? this.buffers[0].tailedSums : this.total;
    if (this.size > 1) {
      const ranges = blockRanges(totalSize, this.size);
      await Promise.all(ranges.map((range, index) => this.threads[index].call({ kind: 'combine', ...range })));
    }
    const words = this.#metricWords(own).fill(0);
    for (const one of metrics) addMetrics(one, words, this.tally);
    return own;
  }

  /** The host's own sums of one bucket, once all its threads have added theirs; combined by the calling thread. */
  collectBucket(bucket: number): BucketSums {
    const { start, end } = this.buckets[bucket];
    const total = this.total.subarray(start, end);
    const [own, ...others] = this.buffers.map(({ sums }) => sums.subarray(start, end));
    others.forEach((sums, index) => {
      this.#kernels.addInt32(total, index === 0 ? own : total, sums);
    });
    return { own: others.length === 0 ? own : total, total };
  }

  /** The host's metrics, where the ring is to leave the sum over all hosts. */
  collectMetrics(metrics: readonly MetricSums[]): Int32Array {
    const words = this.#metricWords(this.total).fill(0);
    for (const one of metrics) addMetrics(one, words, this.tally);
    return words;
  }

  /** The reduced metrics, behind the reduced gradients. */
  metrics(): MetricSums {
    return readMetrics(this.#metricWords(this.total), this.tally);
  }

  #metricWords(sums: Int32Array): Int32Array {
    const { totalSize } = this.layout;
    return sums.subarray(totalSize, totalSize + metricWords(this.tally));
  }

  /** Largest exponents of the host's own grains, written to `out` (one byte a block). */
  collectExponents(out: Uint8Array): void {
    out.set(this.buffers[0].exponents);
    for (const { exponents } of this.buffers.slice(1)) {
      for (let i = 0; i < exponents.length; i++) out[i] = Math.max(out[i], exponents[i]);
    }
  }

  /** Updates the weights from `total`. */
  apply(step: number, learningRate: number, samples: number): Promise<{ weightsSha256: string }> {
    return this.threads[0].call({ kind: 'apply', step, learningRate, samples });
  }

  async evaluate(thread: number, batch: Batch): Promise<MetricSums> {
    return (await this.threads[thread].call({ kind: 'evaluate', batch }, buffersOf(batch))).metrics;
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.terminate()));
  }
}

function compileRequest(run: RunSpec, threadCount: number, engine: EngineName = run.engine.name) {
  return {
    kind: 'compile',
    engine: { name: engine, threads: run.engine.threads, sharesProcess: threadCount > 1 },
    step: stepSpecOf(run),
  } as const;
}

/** Room behind the summed gradients for the step's metrics, so that one reduction carries both. */
const tailWords = (tally: readonly TallyPart[]): number => Math.ceil(metricWords(tally) / 16) * 16;

function allocate(layout: Layout, run: RunSpec, threadCount: number, tail: number) {
  const { totalSize, blockCount } = layout;
  const slotNames = createOptimizer(run.optimizer, layout).slotNames;
  const floatBytes = totalSize * 4;
  const arena = createArena(
    arenaBytes([
      floatBytes * (1 + slotNames.length),
      floatBytes + tail * 4,
      blockCount * 2,
      RING_SCRATCH_BYTES,
      ...Array.from({ length: threadCount }, () => floatBytes * 2 + tail * 4 + blockCount),
    ]) +
      64 * (8 + threadCount * 4),
  );
  const weights = arena.float32(totalSize);
  const slots = new Map(slotNames.map((name) => [name, arena.float32(totalSize)]));
  const exponents = arena.uint8(blockCount);
  const quanta = arena.uint8(blockCount);
  const total = arena.int32(totalSize + tail);
  const tailed = Array.from({ length: threadCount }, () => arena.int32(totalSize + tail));
  const allSums = tailed.map((sums) => sums.subarray(0, totalSize));
  const buffers = tailed.map((tailedSums, index) => ({
    weights,
    slots: [...slots],
    quanta,
    total: total.subarray(0, totalSize),
    gradient: arena.float32(totalSize),
    sums: allSums[index],
    allSums,
    tailedSums,
    exponents: arena.uint8(blockCount),
  }));
  return { arena, weights, slots, exponents, quanta, total, buffers };
}

/** Cuts a flat buffer into as many runs of whole blocks as there are threads. */
function blockRanges(totalSize: number, parts: number): ElementRange[] {
  const blocks = totalSize / BLOCK_SIZE;
  const edge = (part: number) => Math.round((blocks * part) / parts) * BLOCK_SIZE;
  return Array.from({ length: parts }, (_, part) => ({ start: edge(part), end: edge(part + 1) }));
}

const buffersOf = ({ inputs, targets, sampleWeights }: Batch): ArrayBuffer[] =>
  [...inputs, ...targets, ...(sampleWeights ? [sampleWeights] : [])]
    .map((array) => array.buffer)
    .filter((buffer) => buffer instanceof ArrayBuffer);
