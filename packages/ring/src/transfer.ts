/** Transfer: runs one ring schedule over two links. Receives, combines or stores, and sends on, segment by segment. */
import type { SegmentReceiver, SegmentSender } from '@coord/transport';
import { FrameExchange } from './frame-exchange.js';
import type { RingPosition } from './ring-errors.js';
import { phaseOf, type Schedule, type Segment, segmentsReceived, segmentsSent } from './schedule.js';
import { RECEIVE_WINDOW, type ScratchSlot } from './scratch.js';
import type { OperationTag } from './segment-header.js';

export interface Neighbours {
  readonly next: SegmentSender;
  readonly prev: SegmentReceiver;
}

export interface TransferTask {
  readonly tag: OperationTag;
  readonly schedule: Schedule;
  /** Own contribution. */
  readonly input: Uint8Array;
  /** Result; may be `input`. */
  readonly output: Uint8Array;
  /** output[start, end) = own[start, end) combined with `arrived`; `own` is the input or what was combined so far. */
  combine(start: number, end: number, arrived: Uint8Array, own: Uint8Array): void;
  checksum(bytes: Uint8Array): number;
  /** input[start, end) is about to be read for the first time. */
  before?(start: number, end: number): void;
  /** output[start, end) is complete, and will not be read or written any more. */
  after?(start: number, end: number): void;
}

/** Whether an operation works in place. */
export const isSamePlace = (a: Uint8Array, b: Uint8Array): boolean =>
  a.buffer === b.buffer && a.byteOffset === b.byteOffset;

export class Transfer {
  readonly position: RingPosition;
  private readonly frames: FrameExchange;
  private readonly sends: Promise<void>[] = [];
  private readonly nextRank: number;
  private readonly prevRank: number;

  constructor(
    private readonly task: TransferTask,
    private readonly links: Neighbours,
    private readonly slots: readonly ScratchSlot[],
    private readonly onProgress: () => void,
  ) {
    this.frames = new FrameExchange(task.tag, task.schedule, task.checksum);
    this.position = this.frames.position;
    const { rank, size } = task.schedule;
    this.nextRank = (rank + 1) % size;
    this.prevRank = (rank + size - 1) % size;
  }

  /** @throws CoordError RING_BROKEN. The output is then undefined, and the links are of no more use. */
  async run(): Promise<void> {
    const { schedule, input } = this.task;
    for (const segment of segmentsSent(schedule, 0)) {
      this.task.before?.(segment.start, segment.end);
      this.send(segment, input);
    }
    const segments = [...segmentsReceived(schedule)];
    const arrivals = segments.slice(0, RECEIVE_WINDOW).map((segment, number) => this.receive(segment, number));
    for (const [number, segment] of segments.entries()) {
      await this.arrival(arrivals[number % RECEIVE_WINDOW], segment);
      this.take(segment, this.slots[number % RECEIVE_WINDOW]);
      const following = number + RECEIVE_WINDOW;
      if (following < segments.length) arrivals[number % RECEIVE_WINDOW] = this.receive(segments[following], following);
    }
    // The caller may change the buffers once all has left them.
    await Promise.all(this.sends);
  }

  private receive(segment: Segment, number: number): Promise<void> {
    const slot = this.slots[number % RECEIVE_WINDOW];
    const into = this.target(segment, slot);
    const received = this.frames.receive(this.links.prev, this.prevRank, segment, slot.header, into);
    // Its failure is reported when its turn comes; until then it must not count as unhandled.
    received.catch(() => {});
    return received;
  }

  /** What is to be combined lands in the scratch slot; what is complete lands where it belongs. */
  private target(segment: Segment, slot: ScratchSlot): Uint8Array {
    const { start, end } = segment;
    return this.isCombined(segment) ? slot.bytes.subarray(0, end - start) : this.task.output.subarray(start, end);
  }

  private isCombined({ step }: Segment): boolean {
    return step < this.task.schedule.reduceSteps;
  }

  private async arrival(arrived: Promise<void>, segment: Segment): Promise<void> {
    this.frames.enter(this.prevRank, phaseOf(this.task.schedule, segment.step), segment);
    await arrived;
    this.onProgress();
  }

  private take(segment: Segment, slot: ScratchSlot): void {
    const { schedule, output } = this.task;
    const { step } = segment;
    if (this.isCombined(segment)) this.combine(segment, slot);
    const isSentOn = step + 1 < schedule.steps;
    const isComplete = step + 1 >= schedule.reduceSteps;
    if (isSentOn) this.send({ ...segment, step: step + 1 }, output, isComplete);
    else this.finish(segment);
  }

  private finish({ start, end }: Segment): void {
    this.task.after?.(start, end);
  }

  private combine({ start, end }: Segment, slot: ScratchSlot): void {
    this.task.before?.(start, end);
    this.task.combine(start, end, slot.bytes.subarray(0, end - start), this.task.input);
  }

  /** @param finishes true when the segment is complete here once it has left. */
  private send(segment: Segment, from: Uint8Array, finishes = false): void {
    const bytes = from.subarray(segment.start, segment.end);
    const sent = this.frames.send(this.links.next, this.nextRank, segment, bytes);
    const done = finishes ? sent.then(() => this.finish(segment)) : sent;
    done.catch(() => {});
    this.sends.push(done);
  }
}
