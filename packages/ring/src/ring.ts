/** The ring: all-reduce and all-gather over typed arrays, for ranks that are linked to their two neighbours. */
import { type Arena, BLOCK_SIZE, type Clock, systemClock } from '@coord/protocol';
import type { SegmentReceiver, SegmentSender } from '@coord/transport';
import { Doubling, doublingPartners, type Partners } from './doubling.js';
import { createKernels, type Kernels, referenceKernels } from './kernels.js';
import { ProgressTimer } from './progress-timer.js';
import { ringTimeout, viewChanged } from './ring-errors.js';
import { allGatherSchedule, allReduceSchedule, type RingPlace } from './schedule.js';
import { type ScratchSlot, SEGMENT_BYTES, scratchSlots } from './scratch.js';
import type { OperationName } from './segment-header.js';
import { isSamePlace, type Neighbours, Transfer, type TransferTask } from './transfer.js';

export interface RingContext extends RingPlace {
  /** Link to rank + 1; undefined when the ring has one rank. */
  readonly next: SegmentSender | undefined;
  /** Link from rank − 1; undefined when the ring has one rank. */
  readonly prev: SegmentReceiver | undefined;
  /** An operation that hears nothing for this long has failed. */
  readonly timeoutMs: number;
  /** Gives up the ring; operations reject with the signal's reason if it is a CoordError, else with VIEW_CHANGED. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /**
   * Links to the ranks that `doublingPartners` names, for recursive doubling of small buffers. Two ranks need none: their
   * ring links serve.
   */
  readonly partners?: Partners;
  /** Buffers up to this size are reduced by recursive doubling, where there are links for it. */
  readonly doublingBytes?: number;
  /** Longest segment, at least one block. Default 512 KB: shorter ones cost calls, longer ones cost pipelining. */
  readonly segmentBytes?: number;
}

/** Work on the values that is done piece by piece while the ring moves others, and while they are in the cache. */
export interface SumStages {
  /** Elements [start, end) of `values` are about to be read for the first time: the last chance to write them. */
  before?(start: number, end: number): void;
  /** Elements [start, end) of `out` are complete, and the ring does not touch them any more. */
  after?(start: number, end: number): void;
}

/**
 * Every rank calls the same operations in the same order with equal lengths; operations of one ring run one after another.
 *
 * All methods throw CoordError RING_BROKEN, RING_TIMEOUT or VIEW_CHANGED. After the first failure the links are closed, so
 * that the neighbours notice, every later call rejects with the same error, and what the operation was to write is
 * undefined; `values` keeps its content where `out` is another buffer.
 */
export interface Ring {
  readonly rank: number;
  readonly size: number;
  /**
   * out = sum of all ranks' `values`, modulo 2^32 or 2^16; the same bits on every rank. Default: in place.
   *
   * @param stages called once for every element, in pieces of whole blocks (BLOCK_SIZE elements; the last may be shorter).
   */
  allReduceSum<T extends Int32Array | Int16Array>(values: T, out?: T, stages?: SumStages): Promise<void>;
  /** out = largest of all ranks' `values`, element by element. Default: in place. */
  allReduceMax(values: Uint8Array, out?: Uint8Array): Promise<void>;
  /** What every rank brings, by rank. All bring the same number of bytes. */
  allGather(mine: Uint8Array): Promise<Uint8Array[]>;
  /** Closes both links; resolves when nothing writes to any buffer any more. */
  close(): Promise<void>;
}

type TransferWork = Pick<TransferTask, 'combine' | 'before' | 'after'>;

const BLOCK_BYTES = BLOCK_SIZE * Int32Array.BYTES_PER_ELEMENT;
/** Measured on two ranks over loopback: doubling takes 0.6 of the ring's time up to 64 KB, 0.8 at 128 KB, 1.1 at 256 KB. */
const DOUBLING_BYTES = 128 * 1024;

/** @param arena where values lie that shall be combined by the WebAssembly kernels. */
export function createRing(context: RingContext, arena?: Arena): Ring {
  return new LinkedRing(context, arena);
}

class LinkedRing implements Ring {
  readonly rank: number;
  readonly size: number;
  private readonly segmentBytes: number;
  private readonly kernels: Kernels;
  private readonly slots: readonly ScratchSlot[];
  private readonly links: Neighbours | undefined;
  private readonly partners: Partners;
  private readonly doublingBytes: number;
  private rejectCurrent: ((error: Error) => void) | undefined;
  private failure: Error | undefined;
  private sequence = 0;
  private tail: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: RingContext,
    arena: Arena | undefined,
  ) {
    this.rank = context.rank;
    this.size = context.size;
    this.segmentBytes = Math.max(context.segmentBytes ?? SEGMENT_BYTES, BLOCK_BYTES);
    this.kernels = arena ? createKernels(arena.memory) : referenceKernels;
    this.links = neighboursOf(context);
    this.partners = partnersOf(context, this.links);
    this.doublingBytes = Math.min(context.doublingBytes ?? DOUBLING_BYTES, this.segmentBytes);
    this.slots = this.links ? scratchSlots(this.segmentBytes, arena) : [];
    context.signal?.addEventListener('abort', this.onAbort, { once: true });
    if (context.signal?.aborted) this.onAbort();
  }

  allReduceSum<T extends Int32Array | Int16Array>(values: T, out: T = values, stages: SumStages = {}): Promise<void> {
    const { BYTES_PER_ELEMENT: elementBytes } = values;
    const add = adderFor(this.kernels, out);
    const work = { combine: add, ...byteStages(stages, elementBytes) };
    const name = elementBytes === 2 ? 'sum16' : 'sum';
    return this.allReduce(name, values, out, BLOCK_SIZE * elementBytes, work);
  }

  allReduceMax(values: Uint8Array, out: Uint8Array = values): Promise<void> {
    const { kernels } = this;
    const combine: TransferTask['combine'] = (start, end, arrived, own) => {
      kernels.maxUint8(out.subarray(start, end), own.subarray(start, end), arrived);
    };
    return this.allReduce('max', values, out, 1, { combine });
  }

  async allGather(mine: Uint8Array): Promise<Uint8Array[]> {
    const chunkBytes = mine.byteLength;
    const output = new Uint8Array(chunkBytes * this.size);
    output.set(mine, this.rank * chunkBytes);
    const schedule = allGatherSchedule(this, chunkBytes, this.segmentBytes);
    await this.enqueue('gather', { schedule, input: output, output, combine() {} });
    return Array.from({ length: this.size }, (_, rank) => output.subarray(rank * chunkBytes, (rank + 1) * chunkBytes));
  }

  async close(): Promise<void> {
    this.fail(viewChanged(this.rank, AbortSignal.abort('closed')));
    await Promise.all(this.ends().map((end) => end.closed));
  }

  private async allReduce<T extends Int32Array | Int16Array | Uint8Array>(
    name: OperationName,
    values: T,
    out: T,
    unitBytes: number,
    work: TransferWork,
  ): Promise<void> {
    if (out.length !== values.length) throw new RangeError(`out has ${out.length} elements, values ${values.length}`);
    const [input, output] = [bytesOf(values), bytesOf(out)];
    const schedule = allReduceSchedule(this, input.byteLength, unitBytes, this.segmentBytes);
    await this.enqueue(name, { schedule, input, output, ...work });
  }

  /** Runs when the operations called before are done. */
  private enqueue(name: OperationName, task: Omit<TransferTask, 'tag' | 'checksum'>): Promise<void> {
    const tag = { name, sequence: this.sequence++, totalBytes: task.output.byteLength };
    const done = this.tail.then(() => this.run({ ...task, tag, checksum: this.kernels.checksum }));
    this.tail = done.catch(() => {});
    return done;
  }

  private async run(task: TransferTask): Promise<void> {
    if (this.failure) throw this.failure;
    if (!this.links) {
      runAlone(task);
      return;
    }
    const { clock = systemClock, timeoutMs } = this.context;
    const transfer = this.transferFor(task, this.links, () => timer.heard());
    const timer = new ProgressTimer(clock, timeoutMs, () => this.fail(ringTimeout(transfer.position, timeoutMs)));
    try {
      await new Promise<void>((resolve, reject) => {
        this.rejectCurrent = reject;
        transfer.run().then(resolve, reject);
      });
    } catch (error) {
      this.fail(error as Error);
      throw this.failure;
    } finally {
      timer.stop();
    }
  }

  private transferFor(task: TransferTask, links: Neighbours, onProgress: () => void): Transfer | Doubling {
    const { name, totalBytes } = task.tag;
    const isSmall = name !== 'gather' && totalBytes > 0 && totalBytes <= this.doublingBytes && this.partners.size > 0;
    if (isSmall) return new Doubling(task, this.partners, this.slots[0], onProgress);
    return new Transfer(task, links, this.slots, onProgress);
  }

  private readonly onAbort = (): void => this.fail(viewChanged(this.rank, this.context.signal as AbortSignal));

  private ends(): (SegmentSender | SegmentReceiver)[] {
    const partners = [...this.partners.values()].flatMap(({ sender, receiver }) => [sender, receiver]);
    return this.links ? [...new Set([this.links.next, this.links.prev, ...partners])] : [];
  }

  private fail(error: Error): void {
    if (this.failure) return;
    this.failure = error;
    this.context.signal?.removeEventListener('abort', this.onAbort);
    for (const end of this.ends()) end.close();
    this.rejectCurrent?.(error);
  }
}

/** The links for recursive doubling; none when some are missing. */
function partnersOf({ rank, size, partners }: RingContext, links: Neighbours | undefined): Partners {
  if (size === 2 && links) return new Map([[1 - rank, { sender: links.next, receiver: links.prev }]]);
  const isComplete = partners && doublingPartners({ rank, size }).every((peer) => partners.has(peer));
  return isComplete ? partners : new Map();
}

function neighboursOf({ size, next, prev }: RingContext): Neighbours | undefined {
  if (size === 1) return undefined;
  if (!next || !prev) throw new RangeError(`a ring of ${size} ranks needs links to both neighbours`);
  return { next, prev };
}

/** A ring of one rank has the sum already. */
function runAlone({ input, output, before, after }: TransferTask): void {
  before?.(0, input.byteLength);
  if (!isSamePlace(input, output)) output.set(input);
  after?.(0, output.byteLength);
}

function byteStages({ before, after }: SumStages, elementBytes: number): Pick<TransferTask, 'before' | 'after'> {
  return {
    before: before && ((start, end) => before(start / elementBytes, end / elementBytes)),
    after: after && ((start, end) => after(start / elementBytes, end / elementBytes)),
  };
}

/** Adds what arrived to the own values, in the wire format of `out`. */
function adderFor(kernels: Kernels, out: Int32Array | Int16Array): TransferTask['combine'] {
  if (out instanceof Int32Array) {
    const view = (bytes: Uint8Array, start: number, end: number) =>
      new Int32Array(bytes.buffer, bytes.byteOffset + start, (end - start) / 4);
    return (start, end, arrived, own) =>
      kernels.addInt32(view(bytesOf(out), start, end), view(own, start, end), view(arrived, 0, end - start));
  }
  const view = (bytes: Uint8Array, start: number, end: number) =>
    new Int16Array(bytes.buffer, bytes.byteOffset + start, (end - start) / 2);
  return (start, end, arrived, own) =>
    kernels.addInt16(view(bytesOf(out), start, end), view(own, start, end), view(arrived, 0, end - start));
}

const bytesOf = (array: Int32Array | Int16Array | Uint8Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
