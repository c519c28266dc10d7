/** The ring: all-reduce and all-gather over typed arrays, for ranks that are linked to their two neighbours. */
import { type Arena, BLOCK_SIZE, type Clock, systemClock } from '@coord/protocol';
import type { SegmentReceiver, SegmentSender } from '@coord/transport';
import { Beats } from './beats.js';
import { Doubling, doublingPartners, type Partners } from './doubling.js';
import { createKernels, type Kernels, referenceKernels } from './kernels.js';
import { PeerWait } from './peer-wait.js';
import { ProgressTimer } from './progress-timer.js';
import { Gather, PlainMax, PlainSum, type Reduction } from './reduction.js';
import { ringTimeout, viewChanged } from './ring-errors.js';
import { allGatherSchedule, allReduceSchedule, type RingPlace, type Schedule } from './schedule.js';
import { createScratch, DOUBLING_BYTES, type Scratch, segmentBytesFor } from './scratch.js';
import { type Neighbours, Transfer, type TransferTask } from './transfer.js';

export interface RingContext extends RingPlace {
  /** Link to rank + 1; undefined when the ring has one rank. */
  readonly next: SegmentSender | undefined;
  /** Link from rank − 1; undefined when the ring has one rank. */
  readonly prev: SegmentReceiver | undefined;
  /**
   * An operation that hears nothing for this long has failed. A rank that lives and has not come yet is waited for longer (`beats.ts`), up to
   * `PATIENCE_FACTOR` times as long.
   */
  readonly timeoutMs: number;
  /** Gives up the ring; operations reject with the signal's reason if it is a CoordError, else with VIEW_CHANGED. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /**
   * Links to the ranks that `doublingPartners` names, for recursive doubling of small buffers. Two ranks need none: their
   * ring links serve.
   */
  readonly partners?: Partners;
  /** Buffers up to this size are reduced by recursive doubling, where there are links for it; never longer ones than 96 KB. */
  readonly doublingBytes?: number;
  /** Longest segment, at least one block. Default: as `segmentBytesFor` says for this number of ranks. */
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
  /** The rank that the operation in progress waits for: the one before, or a partner of recursive doubling. */
  readonly waitsFor: number | undefined;
  /**
   * Milliseconds, over all operations so far, in which it has waited for a peer to begin a step of one, while no bytes came. It
   * grows during an operation.
   */
  readonly waitedMs: number;
  /** Reduces what the ranks' reductions, which are of one kind, bring; the same bits on every rank. */
  allReduce(reduction: Reduction): Promise<void>;
  /** out = sum of all ranks' `values`, modulo 2^32. Default: in place. */
  allReduceSum(values: Int32Array, out?: Int32Array): Promise<void>;
  /** out = largest of all ranks' `values`, element by element. Default: in place. */
  allReduceMax(values: Uint8Array, out?: Uint8Array): Promise<void>;
  /** What every rank brings, by rank. All bring the same number of bytes. */
  allGather(mine: Uint8Array): Promise<Uint8Array[]>;
  /** Closes both links; resolves when nothing writes to any buffer any more. */
  close(): Promise<void>;
}

const BLOCK_BYTES = BLOCK_SIZE * Int32Array.BYTES_PER_ELEMENT;
/** More than a step has operations of different sizes. */
const MAX_KEPT_SCHEDULES = 64;

/** @param arena where values lie that shall be combined by the WebAssembly kernels. */
export function createRing(context: RingContext, arena?: Arena): Ring {
  return new LinkedRing(context, arena);
}

class LinkedRing implements Ring {
  readonly rank: number;
  readonly size: number;
  private readonly segmentBytes: number;
  private readonly kernels: Kernels;
  private readonly scratch: Scratch;
  private readonly links: Neighbours | undefined;
  private readonly partners: Partners;
  private readonly doublingBytes: number;
  private readonly wait: PeerWait;
  private readonly beats: Beats | undefined;
  private readonly schedules = new Map<string, Schedule>();
  private rejectCurrent: ((error: Error) => void) | undefined;
  private current: Transfer | Doubling | undefined;
  private timer: ProgressTimer | undefined;
  private failure: Error | undefined;
  private sequence = 0;
  private tail: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: RingContext,
    arena: Arena | undefined,
  ) {
    this.rank = context.rank;
    this.size = context.size;
    this.segmentBytes = Math.max(context.segmentBytes ?? segmentBytesFor(context.size), BLOCK_BYTES);
    this.wait = new PeerWait(context.clock ?? systemClock);
    this.kernels = arena ? createKernels(arena.memory) : referenceKernels;
    this.links = neighboursOf(context);
    this.partners = partnersOf(context, this.links);
    const longestBytes = context.segmentBytes === undefined ? DOUBLING_BYTES : this.segmentBytes;
    this.doublingBytes = Math.min(context.doublingBytes ?? DOUBLING_BYTES, longestBytes);
    this.scratch = createScratch(this.size, this.segmentBytes, this.doublingBytes, arena);
    this.beats = this.links && this.createBeats(context, this.links);
    context.signal?.addEventListener('abort', this.onAbort, { once: true });
    if (context.signal?.aborted) this.onAbort();
  }

  get waitsFor(): number | undefined {
    return this.current?.position.peer;
  }

  get waitedMs(): number {
    return this.wait.totalMs;
  }

  async allReduce(reduction: Reduction): Promise<void> {
    await this.enqueue(reduction, this.scheduleFor(reduction));
  }

  /** The same few sizes come step after step. */
  private scheduleFor({ totalBytes, unitBytes }: Reduction): Schedule {
    const key = `${totalBytes}/${unitBytes}`;
    let schedule = this.schedules.get(key);
    if (!schedule) {
      if (this.schedules.size === MAX_KEPT_SCHEDULES) this.schedules.clear();
      schedule = allReduceSchedule(this, totalBytes, unitBytes, this.segmentBytes);
      this.schedules.set(key, schedule);
    }
    return schedule;
  }

  async allReduceSum(values: Int32Array, out: Int32Array = values): Promise<void> {
    await this.allReduce(new PlainSum(this.kernels, values, out));
  }

  async allReduceMax(values: Uint8Array, out: Uint8Array = values): Promise<void> {
    await this.allReduce(new PlainMax(this.kernels, values, out));
  }

  async allGather(mine: Uint8Array): Promise<Uint8Array[]> {
    const chunkBytes = mine.byteLength;
    const output = new Uint8Array(chunkBytes * this.size);
    output.set(mine, this.rank * chunkBytes);
    await this.enqueue(new Gather(output), allGatherSchedule(this, chunkBytes, this.segmentBytes));
    return Array.from({ length: this.size }, (_, rank) => output.subarray(rank * chunkBytes, (rank + 1) * chunkBytes));
  }

  async close(): Promise<void> {
    this.fail(viewChanged(this.rank, AbortSignal.abort('closed')));
    await Promise.all(this.ends().map((end) => end.closed));
  }

  /** Runs when the operations called before are done. */
  private enqueue(reduction: Reduction, schedule: Schedule): Promise<void> {
    const { name, totalBytes } = reduction;
    const tag = { name, sequence: this.sequence++, totalBytes };
    const { wait, kernels } = this;
    const done = this.tail.then(() => this.run({ tag, reduction, schedule, wait, checksum: kernels.checksum }));
    this.tail = done.catch(() => {});
    return done;
  }

  private async run(task: TransferTask): Promise<void> {
    if (this.failure) throw this.failure;
    if (!this.links) {
      runAlone(task.reduction, this.scratch.sending[0].bytes);
      return;
    }
    const { clock = systemClock, timeoutMs } = this.context;
    const transfer = this.transferFor(task, this.links, () => timer.heard());
    this.current = transfer;
    const timer = new ProgressTimer(clock, timeoutMs, (silence) =>
      this.fail(ringTimeout(transfer.position, timeoutMs, silence)),
    );
    this.timer = timer;
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
      this.wait.end();
      this.current = undefined;
    }
  }

  private createBeats({ rank, size, timeoutMs, clock = systemClock }: RingContext, links: Neighbours): Beats {
    const partners = [...this.partners.values()];
    return new Beats({
      rank,
      size,
      timeoutMs,
      clock,
      links: {
        senders: new Set([links.next, ...partners.map(({ sender }) => sender)]),
        receivers: receiversOf(this, links, this.partners),
      },
      waitsFor: () => this.waitsFor,
      onBeat: (origin) => this.timer?.lives(origin),
    });
  }

  private transferFor(task: TransferTask, links: Neighbours, onProgress: () => void): Transfer | Doubling {
    const { name, totalBytes } = task.tag;
    const isSmall = name !== 'gather' && totalBytes > 0 && totalBytes <= this.doublingBytes && this.partners.size > 0;
    if (isSmall) return new Doubling(task, this.partners, this.scratch.sending, onProgress);
    return new Transfer(task, links, this.scratch, onProgress);
  }

  private readonly onAbort = (): void => this.fail(viewChanged(this.rank, this.context.signal as AbortSignal));

  private ends(): (SegmentSender | SegmentReceiver)[] {
    const partners = [...this.partners.values()].flatMap(({ sender, receiver }) => [sender, receiver]);
    return this.links ? [...new Set([this.links.next, this.links.prev, ...partners])] : [];
  }

  private fail(error: Error): void {
    if (this.failure) return;
    this.failure = error;
    this.beats?.stop();
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

const receiversOf = (
  { rank, size }: RingPlace,
  { prev }: Neighbours,
  partners: Partners,
): Map<number, SegmentReceiver> =>
  new Map([
    [(rank + size - 1) % size, prev],
    ...[...partners].map(([peer, { receiver }]) => [peer, receiver] as const),
  ]);

function neighboursOf({ size, next, prev }: RingContext): Neighbours | undefined {
  if (size === 1) return undefined;
  if (!next || !prev) throw new RangeError(`a ring of ${size} ranks needs links to both neighbours`);
  return { next, prev };
}

/** A ring of one rank has the sum already, and only takes it through the wire format. */
function runAlone(reduction: Reduction, room: Uint8Array): void {
  const { totalBytes, unitBytes } = reduction;
  const pieceBytes = Math.floor(room.length / unitBytes) * unitBytes;
  for (let start = 0; start < totalBytes; start += pieceBytes) {
    const end = Math.min(start + pieceBytes, totalBytes);
    reduction.complete(start, end, reduction.own(start, end, room.subarray(0, end - start)));
  }
}
