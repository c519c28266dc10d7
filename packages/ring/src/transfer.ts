/** Transfer: runs one schedule over two links. Receives, combines or stores, and sends on, segment by segment. */
import type { SegmentReceiver, SegmentSender } from '@coord/transport';
import { type RingPosition, ringBroken } from './ring-errors.js';
import { phaseOf, type Schedule, type Segment, segmentsReceived, segmentsSent } from './schedule.js';
import { RECEIVE_WINDOW, type ScratchSlot } from './scratch.js';
import {
  describeHeader,
  isSameHeader,
  type OperationTag,
  SEGMENT_HEADER_BYTES,
  writeSegmentHeader,
} from './segment-header.js';

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
  /** output[start, end) = input[start, end) combined with `arrived`. */
  combine(start: number, end: number, arrived: Uint8Array): void;
}

export class Transfer {
  readonly position: RingPosition;
  private readonly sends: Promise<void>[] = [];
  private readonly expectedHeader = new Uint8Array(SEGMENT_HEADER_BYTES);

  constructor(
    private readonly task: TransferTask,
    private readonly links: Neighbours,
    private readonly slots: readonly ScratchSlot[],
    private readonly onProgress: () => void,
  ) {
    const { schedule, tag } = task;
    const { rank, size } = schedule;
    const phase = phaseOf(schedule, 0);
    this.position = { rank, size, sequence: tag.sequence, operation: tag.name, phase, step: 0, segment: 0 };
  }

  /** @throws CoordError RING_BROKEN. The output is then undefined, and the links are of no more use. */
  async run(): Promise<void> {
    const { schedule, input } = this.task;
    for (const segment of segmentsSent(schedule, 0)) this.send(segment, input);
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
    const received = this.links.prev.receive(slot.header, this.target(segment, slot));
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
    this.position.phase = phaseOf(this.task.schedule, segment.step);
    this.position.step = segment.step;
    this.position.segment = segment.index;
    try {
      await arrived;
    } catch (cause) {
      throw ringBroken(this.position, 'prev', cause);
    }
    this.onProgress();
  }

  private take(segment: Segment, slot: ScratchSlot): void {
    this.checkHeader(segment, slot.header);
    const { start, end, step } = segment;
    if (this.isCombined(segment)) this.task.combine(start, end, slot.bytes.subarray(0, end - start));
    if (step + 1 < this.task.schedule.steps) this.send({ ...segment, step: step + 1 }, this.task.output);
  }

  private checkHeader(segment: Segment, header: Uint8Array): void {
    writeSegmentHeader(this.expectedHeader, this.task.tag, segment);
    if (isSameHeader(header, this.expectedHeader)) return;
    const mixUp = `it sent ${describeHeader(header)}, where ${describeHeader(this.expectedHeader)} was due`;
    throw ringBroken(this.position, 'prev', new Error(mixUp));
  }

  private send(segment: Segment, from: Uint8Array): void {
    const header = new Uint8Array(SEGMENT_HEADER_BYTES);
    writeSegmentHeader(header, this.task.tag, segment);
    const sent = this.links.next.send(header, from.subarray(segment.start, segment.end)).catch((cause: unknown) => {
      throw ringBroken({ ...this.position }, 'next', cause);
    });
    sent.catch(() => {});
    this.sends.push(sent);
  }
}
