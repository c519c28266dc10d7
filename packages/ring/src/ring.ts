/** The ring: all-reduce and all-gather over typed arrays, for ranks that are linked to their two neighbours. */
import { type Arena, type Clock, systemClock } from '@coord/protocol';
import type { SegmentReceiver, SegmentSender } from '@coord/transport';
import { createKernels, type Kernels, referenceKernels } from './kernels.js';
import { ProgressTimer } from './progress-timer.js';
import { ringTimeout, viewChanged } from './ring-errors.js';
import { allGatherSchedule, allReduceSchedule, type RingPlace } from './schedule.js';
import { type ScratchSlot, scratchSlots } from './scratch.js';
import type { OperationName } from './segment-header.js';
import { type Neighbours, Transfer, type TransferTask } from './transfer.js';

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
  /** Longest segment. Default 512 KB: shorter ones cost calls, longer ones cost pipelining. */
  readonly segmentBytes?: number;
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
  /** out = sum of all ranks' `values`, modulo 2^32; the same bits on every rank. Default: in place. */
  allReduceSum(values: Int32Array, out?: Int32Array): Promise<void>;
  /** out = largest of all ranks' `values`, element by element. Default: in place. */
  allReduceMax(values: Uint8Array, out?: Uint8Array): Promise<void>;
  /** What every rank brings, by rank. All bring the same number of bytes. */
  allGather(mine: Uint8Array): Promise<Uint8Array[]>;
  /** Closes both links; resolves when nothing writes to any buffer any more. */
  close(): Promise<void>;
}

const SEGMENT_BYTES = 512 * 1024;

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
    this.segmentBytes = context.segmentBytes ?? SEGMENT_BYTES;
    this.kernels = arena ? createKernels(arena.memory) : referenceKernels;
    this.links = neighboursOf(context);
    this.slots = this.links ? scratchSlots(this.segmentBytes, arena) : [];
    context.signal?.addEventListener('abort', this.onAbort, { once: true });
    if (context.signal?.aborted) this.onAbort();
  }

  allReduceSum(values: Int32Array, out: Int32Array = values): Promise<void> {
    const { kernels } = this;
    return this.allReduce('sum', values, out, (start, end, arrived) => {
      const count = (end - start) / Int32Array.BYTES_PER_ELEMENT;
      const at = start / Int32Array.BYTES_PER_ELEMENT;
      const theirs = new Int32Array(arrived.buffer, arrived.byteOffset, count);
      kernels.addInt32(out.subarray(at, at + count), values.subarray(at, at + count), theirs);
    });
  }

  allReduceMax(values: Uint8Array, out: Uint8Array = values): Promise<void> {
    const { kernels } = this;
    return this.allReduce('max', values, out, (start, end, arrived) => {
      kernels.maxUint8(out.subarray(start, end), values.subarray(start, end), arrived);
    });
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
    await Promise.all([this.links?.next.closed, this.links?.prev.closed]);
  }

  private async allReduce<T extends Int32Array | Uint8Array>(
    name: OperationName,
    values: T,
    out: T,
    combine: TransferTask['combine'],
  ): Promise<void> {
    if (out.length !== values.length) throw new RangeError(`out has ${out.length} elements, values ${values.length}`);
    if (!this.links && !this.failure) out.set(values);
    const schedule = allReduceSchedule(this, values.length, values.BYTES_PER_ELEMENT, this.segmentBytes);
    await this.enqueue(name, { schedule, input: bytesOf(values), output: bytesOf(out), combine });
  }

  /** Runs when the operations called before are done. */
  private enqueue(name: OperationName, task: Omit<TransferTask, 'tag'>): Promise<void> {
    const tag = { name, sequence: this.sequence++, totalBytes: task.output.byteLength };
    const done = this.tail.then(() => this.run({ ...task, tag }));
    this.tail = done.catch(() => {});
    return done;
  }

  private async run(task: TransferTask): Promise<void> {
    if (this.failure) throw this.failure;
    if (!this.links) return;
    const { clock = systemClock, timeoutMs } = this.context;
    const transfer = new Transfer(task, this.links, this.slots, () => timer.heard());
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

  private readonly onAbort = (): void => this.fail(viewChanged(this.rank, this.context.signal as AbortSignal));

  private fail(error: Error): void {
    if (this.failure) return;
    this.failure = error;
    this.context.signal?.removeEventListener('abort', this.onAbort);
    this.links?.next.close();
    this.links?.prev.close();
    this.rejectCurrent?.(error);
  }
}

function neighboursOf({ size, next, prev }: RingContext): Neighbours | undefined {
  if (size === 1) return undefined;
  if (!next || !prev) throw new RangeError(`a ring of ${size} ranks needs links to both neighbours`);
  return { next, prev };
}

const bytesOf = (array: Int32Array | Uint8Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
