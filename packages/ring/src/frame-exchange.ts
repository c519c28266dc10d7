/** The frames of one operation: puts a header before each segment, checks what arrives, and turns every trouble into RING_BROKEN. */
import type { CoordError } from '@coord/protocol';
import type { PeerWait } from './peer-wait.js';
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
    private readonly wait: PeerWait,
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
    if (index === 0) this.wait.begin();
  }

  /** Writes the header that goes before these bytes. */
  stamp(header: Uint8Array, segment: Segment, bytes: Uint8Array): void {
    this.restamp(header, segment);
    writeChecksum(header, this.checksum(bytes));
  }

  /** The bytes are sent on as they came, and so is their checksum. */
  restamp(header: Uint8Array, segment: Segment): void {
    writeSegmentHeader(header, this.tag, segment);
  }

  /** @throws CoordError RING_BROKEN when this is not the segment that was due, or its bytes were damaged. */
  check(peer: number, segment: Segment, header: Uint8Array, bytes: Uint8Array): void {
    this.wait.end();
    writeSegmentHeader(this.expectedHeader, this.tag, segment);
    if (!isSameHeader(header, this.expectedHeader)) {
      const mixUp = `it sent ${describeHeader(header)}, where ${describeHeader(this.expectedHeader)} was due`;
      throw this.broken(peer, new Error(mixUp));
    }
    if (this.checksum(bytes) === readChecksum(header)) return;
    throw this.broken(peer, new Error(`a segment of ${bytes.byteLength} bytes was damaged on its way`));
  }

  /** What it means for the operation that the link with this rank failed. */
  broken(peer: number, cause: unknown): CoordError {
    return ringBroken(this.position, peer, cause);
  }
}
