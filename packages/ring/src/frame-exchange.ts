/** Sends and receives the segments of one operation, each with its header, and turns every trouble into RING_BROKEN. */
import type { SegmentReceiver, SegmentSender } from '@coord/transport';
import { type RingPosition, ringBroken } from './ring-errors.js';
import { phaseOf, type RingPhase, type Schedule, type Segment } from './schedule.js';
import {
  describeHeader,
  isSameHeader,
  type OperationTag,
  readChecksum,
  SEGMENT_HEADER_BYTES,
  writeChecksum,
  writeSegmentHeader,
} from './segment-header.js';

export class FrameExchange {
  /** Where the operation stands, for errors. */
  readonly position: RingPosition;
  private readonly expectedHeader = new Uint8Array(SEGMENT_HEADER_BYTES);

  constructor(
    private readonly tag: OperationTag,
    schedule: Schedule,
    private readonly checksum: (bytes: Uint8Array) => number,
  ) {
    const { rank, size } = schedule;
    const phase = phaseOf(schedule, 0);
    const { sequence, name: operation } = tag;
    this.position = { rank, size, sequence, operation, peer: rank, phase, step: 0, segment: 0 };
  }

  /** The operation now waits for this segment of this rank. */
  enter(peer: number, phase: RingPhase, { step, index }: Segment): void {
    this.position.peer = peer;
    this.position.phase = phase;
    this.position.step = step;
    this.position.segment = index;
  }

  /** @param header room for the segment's header, which is read until the promise resolves, like the bytes. */
  async send(
    link: SegmentSender,
    peer: number,
    segment: Segment,
    header: Uint8Array,
    bytes: Uint8Array,
  ): Promise<void> {
    writeSegmentHeader(header, this.tag, segment);
    writeChecksum(header, this.checksum(bytes));
    try {
      await link.send(header, bytes);
    } catch (cause) {
      throw ringBroken(this.position, peer, cause);
    }
  }

  async receive(
    link: SegmentReceiver,
    peer: number,
    segment: Segment,
    header: Uint8Array,
    into: Uint8Array,
  ): Promise<void> {
    try {
      await link.receive(header, into);
    } catch (cause) {
      throw ringBroken(this.position, peer, cause);
    }
    this.checkHeader(peer, segment, header);
    this.checkBytes(peer, header, into);
  }

  private checkHeader(peer: number, segment: Segment, header: Uint8Array): void {
    writeSegmentHeader(this.expectedHeader, this.tag, segment);
    if (isSameHeader(header, this.expectedHeader)) return;
    const mixUp = `it sent ${describeHeader(header)}, where ${describeHeader(this.expectedHeader)} was due`;
    throw ringBroken(this.position, peer, new Error(mixUp));
  }

  private checkBytes(peer: number, header: Uint8Array, bytes: Uint8Array): void {
    if (this.checksum(bytes) === readChecksum(header)) return;
    throw ringBroken(this.position, peer, new Error(`a segment of ${bytes.byteLength} bytes was damaged on its way`));
  }
}
