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
  streamKey,
  type TallyPart,
  tallyParts,
  type WireFormat,
} from '@coord/protocol';
import { addThreads, createKernels, type Kernels, type Reduction, RING_SCRATCH_BYTES, sumOfSums } from '@coord/ring';
import { ComputeClient, type ComputeThread } from './compute-client.js';
import type { ThreadBuffers } from './requests.js';

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

/** What the step loop needs of a pool. */
export type Compute = Pick<ComputePool, keyof ComputePool>;

export class ComputePool {
  readonly #kernels: Kernels;
  /** Threads whose sums are of this step. The others' are of an earlier one until somebody reads them. */
  readonly #begun = new Set<number>();

  private constructor(
    readonly layout: Layout,
    readonly identity: NumericIdentity,
    readonly arena: Arena,
    readonly weights: Float32Array,
    readonly slots: ReadonlyMap<string, Float32Array>,
    /** Largest exponents of the step before, a block each: part of the training state. */
    readonly exponents: Uint8Array,
    readonly quanta: Uint8Array,
    readonly buckets: readonly ElementRange[],
    private readonly threads: readonly ComputeThread[],
    private readonly buffers: readonly ThreadBuffers[],
    private readonly wire: WireFormat,
    /** What training steps tally. */
    private readonly tally: readonly TallyPart[],
  ) {
    this.#kernels = createKernels(arena.memory);
    this.checksum = this.#kernels.checksum;
  }

  /** The step's mean gradient, once it is reduced; `apply` reads it, and changes it. */
  get mean(): Float32Array {
    return this.buffers[0].mean;
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
      const pool = allocate(layout, run, threadCount);
      const buckets = bucketsOf(layout, run.ring.bucketBytes);
      await Promise.all(
        threads.map((thread, index) =>
          thread.call({
            kind: 'attach',
            memory: pool.arena.memory,
            buffers: pool.buffers[index],
            buckets,
            wire: run.ring.wire,
            roundingKey: streamKey(run.seed, 'rounding'),
            optimizer: run.optimizer,
            regularization: run.regularization,
          }),
        ),
      );
      const { arena, weights, slots, exponents, quanta, buffers } = pool;
      const { identity } = compiled[0];
      return new ComputePool(
        layout,
        identity,
        arena,
        weights,
        slots,
        exponents,
        quanta,
        buckets,
        threads,
        buffers,
        run.ring.wire,
        tally,
      );
    } catch (error) {
      await Promise.all(threads.map((thread) => thread.terminate()));
      throw error;
    }
  }

  /** Forgets the grains added so far. */
  clear(): void {
    // A thread's first grain replaces its sums: to clear them here would write all of them once more, in the network's thread.
    this.#begun.clear();
    for (const { exponents } of this.buffers) exponents.fill(0);
  }

  /** Threads without a grain in this step add nothing. */
  #clearIdle(): void {
    this.buffers.forEach(({ sums }, thread) => {
      if (!this.#begun.has(thread)) sums.fill(0);
      this.#begun.add(thread);
    });
  }

  /**
   * Computes grain `grain` of `grains` on thread `thread` and adds it to that thread's sums. The batch is handed over. A
   * thread takes its grains in the order of these calls.
   *
   * @param onBucket where it is given, the grain is computed in stages.
   */
  addGrain(thread: number, at: GrainPlace, batch: Batch, onBucket?: OnBucket): Promise<GrainOutcome> {
    const mode = this.#begun.has(thread) ? 'add' : 'store';
    this.#begun.add(thread);
    const request = { kind: 'grain', ...at, batch, mode, inStages: onBucket !== undefined } as const;
    return this.threads[thread].call(request, buffersOf(batch), onBucket && (({ bucket }) => onBucket(bucket)));
  }

  /**
   * The host's own gradients, for the ring to average over all `samples` of the step; `apply` reads the mean. The threads'
   * sums stay as they are: should the reduction fail, the grains need not be computed again.
   */
  async collect(samples: number): Promise<Reduction> {
    this.#clearIdle();
    if (this.size > 1) await this.#combine();
    return this.#meanOf({ start: 0, end: this.layout.totalSize }, samples);
  }

  /** The step's mean of a host that has several threads and is alone: no ring, all of it is computed by the threads. */
  async average(samples: number): Promise<void> {
    this.#clearIdle();
    await this.#combine(samples);
  }

  /** Each thread adds up a range of all threads' sums. */
  async #combine(divisor?: number): Promise<void> {
    const ranges = blockRanges(this.layout.totalSize, this.size);
    await Promise.all(ranges.map((range, index) => this.threads[index].call({ kind: 'combine', ...range, divisor })));
  }

  /** The same for one bucket, once all threads have added theirs to it; combined by the calling thread. */
  collectBucket(bucket: number, samples: number): Reduction {
    this.#clearIdle();
    const range = this.buckets[bucket];
    const [{ total, allSums }] = this.buffers;
    // One thread's sums are the total already.
    if (this.size > 1) addThreads({ kernels: this.#kernels, allSums }, range, total.subarray(range.start, range.end));
    return this.#meanOf(range, samples);
  }

  #meanOf({ start, end }: ElementRange, divisor: number): Reduction {
    const [{ total, mean }] = this.buffers;
    return sumOfSums({
      kernels: this.#kernels,
      wire: this.wire,
      quanta: this.quanta.subarray(start / BLOCK_SIZE, end / BLOCK_SIZE),
      divisor,
      sums: total.subarray(start, end),
      out: mean.subarray(start, end),
    });
  }

  /** The host's metrics, as words that the ring sums over all hosts. */
  collectMetrics(metrics: readonly MetricSums[]): Int32Array {
    const words = new Int32Array(metricWords(this.tally));
    for (const one of metrics) addMetrics(one, words, this.tally);
    return words;
  }

  metricsOf(words: Int32Array): MetricSums {
    return readMetrics(words, this.tally);
  }

  /** Largest exponents of the host's own grains, written to `out` (one byte a block). */
  collectExponents(out: Uint8Array): void {
    out.set(this.buffers[0].exponents);
    for (const { exponents } of this.buffers.slice(1)) {
      for (let i = 0; i < exponents.length; i++) out[i] = Math.max(out[i], exponents[i]);
    }
  }

  /** Updates the weights from the mean gradient. */
  apply(step: number, learningRate: number): Promise<{ weightsSha256: string }> {
    return this.threads[0].call({ kind: 'apply', step, learningRate });
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

function allocate(layout: Layout, run: RunSpec, threadCount: number) {
  const { totalSize, blockCount } = layout;
  const slotNames = createOptimizer(run.optimizer, layout).slotNames;
  const floatBytes = totalSize * 4;
  const isShared = threadCount > 1;
  const arena = createArena(
    arenaBytes([
      floatBytes * (2 + slotNames.length + (isShared ? 1 : 0)),
      blockCount * 2,
      RING_SCRATCH_BYTES,
      ...Array.from({ length: threadCount }, () => floatBytes * 2 + blockCount),
    ]) +
      64 * (8 + threadCount * 4),
  );
  const weights = arena.float32(totalSize);
  const slots = new Map(slotNames.map((name) => [name, arena.float32(totalSize)]));
  const exponents = arena.uint8(blockCount);
  const quanta = arena.uint8(blockCount);
  const mean = arena.float32(totalSize);
  const allSums = Array.from({ length: threadCount }, () => arena.int32(totalSize));
  const total = isShared ? arena.int32(totalSize) : allSums[0];
  const buffers = allSums.map((sums) => ({
    weights,
    slots: [...slots],
    quanta,
    total,
    mean,
    gradient: arena.float32(totalSize),
    sums,
    allSums,
    exponents: arena.uint8(blockCount),
  }));
  return { arena, weights, slots, exponents, quanta, buffers };
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
