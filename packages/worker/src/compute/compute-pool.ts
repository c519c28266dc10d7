/**
 * The compute threads of a host and the buffers that they share with its ring. Threads add grains to accumulators of their
 * own; integer sums make it irrelevant which thread took which grain.
 */
import {
  type Arena,
  addMetrics,
  type Batch,
  BLOCK_SIZE,
  type ElementRange,
  type Layout,
  type MetricSums,
  metricWords,
  type NumericIdentity,
  readMetrics,
  type TallyPart,
  type WireFormat,
} from '@coord/protocol';
import { addThreads, createKernels, type Kernels, type Reduction, sumOfSums } from '@coord/ring';
import type { PoolMemory } from './allocate.js';
import type { ComputeThread } from './compute-client.js';
import type { AverageRequest, CombineRequest, FloatGrain, GrainFlags, GrainProgress } from './requests.js';
import { StepBook } from './step-book.js';

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

/** How a grain is added. */
export interface GrainHandling {
  /** Where it is given, the grain is computed in stages. */
  readonly onBucket?: OnBucket;
  /** It waits as floats for `average` or `settle`, the thread's last until then: `average` takes it with less effort than from sums. */
  readonly staysFloat?: boolean;
}

/** Of a grain that waits as floats, the flags are set when it no longer does. */
export interface GrainOutcome extends GrainFlags {
  readonly metrics: MetricSums;
}

/** What the step loop needs of a pool. */
export type Compute = Pick<ComputePool, keyof ComputePool>;

/** What a pool is of, beside its threads and their memory. */
export interface PoolPlan {
  readonly layout: Layout;
  readonly identity: NumericIdentity;
  readonly buckets: readonly ElementRange[];
  readonly wire: WireFormat;
  /** What training steps tally. */
  readonly tally: readonly TallyPart[];
}

/** Comes up in `startPool`. */
export class ComputePool {
  readonly #kernels: Kernels;
  readonly #book = new StepBook();

  constructor(
    private readonly threads: readonly ComputeThread[],
    private readonly memory: PoolMemory,
    private readonly plan: PoolPlan,
  ) {
    this.#kernels = createKernels(memory.arena.memory);
    this.checksum = this.#kernels.checksum;
  }

  get layout(): Layout {
    return this.plan.layout;
  }
  get identity(): NumericIdentity {
    return this.plan.identity;
  }
  get buckets(): readonly ElementRange[] {
    return this.plan.buckets;
  }
  get arena(): Arena {
    return this.memory.arena;
  }
  get weights(): Float32Array {
    return this.memory.weights;
  }
  get slots(): ReadonlyMap<string, Float32Array> {
    return this.memory.slots;
  }
  /** Largest exponents of the step before, a block each: part of the training state. */
  get exponents(): Uint8Array {
    return this.memory.exponents;
  }
  get quanta(): Uint8Array {
    return this.memory.quanta;
  }

  /** The step's mean gradient, once it is reduced; `apply` reads it, and changes it. It lies where the first thread's gradient was. */
  get mean(): Float32Array {
    return this.memory.buffers[0].mean;
  }

  get size(): number {
    return this.threads.length;
  }

  /** Of bytes that lie in the arena; computed by the caller's thread. */
  readonly checksum: (bytes: Uint8Array) => number;

  /** Forgets the grains added so far. */
  clear(): void {
    // A thread's first grain replaces its sums: to clear them here would write all of them once more, in the network's thread.
    this.#book.clear();
    for (const { exponents } of this.#grains) exponents.fill(0);
  }

  get #grains() {
    return this.memory.buffers[0].grains;
  }

  /**
   * Computes grain `grain` of `grains` on thread `thread` and adds it to that thread's sums. The batch is handed over. A
   * thread takes its grains in the order of these calls.
   */
  async addGrain(thread: number, at: GrainPlace, batch: Batch, how: GrainHandling = {}): Promise<GrainOutcome> {
    this.#book.requireWhole(thread);
    const { onBucket, staysFloat } = how;
    const mode = staysFloat ? 'leave' : this.#book.modeOf(thread);
    const request = { kind: 'grain', ...at, batch, mode, inStages: onBucket !== undefined } as const;
    const onProgress = onBucket && (({ bucket }: GrainProgress) => onBucket(bucket));
    const outcome = await this.threads[thread].call(request, buffersOf(batch), onProgress);
    const { step, grain, grains } = at;
    if (staysFloat) this.#book.wait({ thread, step, grain, grains }, outcome);
    return outcome;
  }

  /** Adds grains that wait as floats to their threads' sums, where those are wanted. To be called when no grain is in work. */
  async settle(): Promise<void> {
    await Promise.all(this.#book.waiting.map((grain) => this.#settleOne(grain)));
  }

  async #settleOne(grain: FloatGrain): Promise<void> {
    const mode = this.#book.modeOf(grain.thread);
    this.#book.taken(grain, await this.threads[grain.thread].call({ kind: 'settle', grain, mode }));
  }

  /**
   * The host's own gradients, for the ring to average over all `samples` of the step; `apply` reads the mean. The threads'
   * sums stay as they are: should the reduction fail, the grains need not be computed again.
   */
  async collect(samples: number): Promise<Reduction> {
    this.#book.requireWhole();
    const threads = this.#book.begun;
    if (this.size > 1) await this.#onAllThreads((range) => ({ kind: 'combine', threads, ...range }));
    else this.#clearIdle();
    return this.#meanOf({ start: 0, end: this.layout.totalSize }, samples);
  }

  /**
   * The step's mean of a host that is alone: no ring, all of it is computed by the threads. Sums stay as they are. Grains that wait
   * as floats are added on the way, and used up: the mean takes their place.
   */
  async average(samples: number): Promise<void> {
    if (this.#book.isSpent) this.#book.requireWhole();
    const { begun: threads, waiting } = this.#book;
    if (waiting.length > 0) this.#book.spend();
    const request = { kind: 'average', threads, floats: waiting, divisor: samples } as const;
    const parts = await this.#onAllThreads((range) => ({ ...request, ...range }));
    waiting.forEach((grain, index) => {
      const flags = parts.map((part) => part.flags[index]);
      this.#book.taken(grain, {
        overflow: flags.some(({ overflow }) => overflow),
        nonFinite: flags.some(({ nonFinite }) => nonFinite),
      });
    });
  }

  /** Grains of this step have gone into its mean alone: where no update is made of it, they are lost. */
  get isSpent(): boolean {
    return this.#book.isSpent;
  }

  /** Each thread does a range of the layout. */
  #onAllThreads<R extends CombineRequest | AverageRequest>(requestFor: (range: ElementRange) => R) {
    const ranges = blockRanges(this.layout.totalSize, this.size);
    return Promise.all(ranges.map((range, index) => this.threads[index].call(requestFor(range))));
  }

  /** The same as `collect` for one bucket, once all threads have added theirs to it; combined by the calling thread. */
  collectBucket(bucket: number, samples: number): Reduction {
    this.#book.requireWhole();
    const range = this.buckets[bucket];
    if (this.size > 1) {
      const sums = this.#book.begun.map((thread) => this.#grains[thread].sums);
      addThreads(
        { kernels: this.#kernels, sums },
        range,
        this.memory.buffers[0].total.subarray(range.start, range.end),
      );
    } else this.#clearIdle();
    return this.#meanOf(range, samples);
  }

  /** One thread's sums are the total; without a grain in this step it adds nothing. */
  #clearIdle(): void {
    if (this.#book.modeOf(0) === 'store') this.#grains[0].sums.fill(0);
  }

  #meanOf({ start, end }: ElementRange, divisor: number): Reduction {
    const [{ total, mean }] = this.memory.buffers;
    return sumOfSums({
      kernels: this.#kernels,
      wire: this.plan.wire,
      quanta: this.quanta.subarray(start / BLOCK_SIZE, end / BLOCK_SIZE),
      divisor,
      sums: total.subarray(start, end),
      out: mean.subarray(start, end),
    });
  }

  /** The host's metrics, as words that the ring sums over all hosts. */
  collectMetrics(metrics: readonly MetricSums[]): Int32Array {
    const words = new Int32Array(metricWords(this.plan.tally));
    for (const one of metrics) addMetrics(one, words, this.plan.tally);
    return words;
  }

  metricsOf(words: Int32Array): MetricSums {
    return readMetrics(words, this.plan.tally);
  }

  /** Largest exponents of the host's own grains, written to `out` (one byte a block). */
  collectExponents(out: Uint8Array): void {
    this.#book.requireTaken();
    const [first, ...others] = this.#grains;
    out.set(first.exponents);
    for (const { exponents } of others) {
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
