/**
 * Transfer: runs one ring schedule over two links. Receives, combines, sends on and hands over what is complete, segment by
 * segment.
 */
import type { SegmentReceiver, SegmentSender } from '@coord/transport';
import { FrameExchange } from './frame-exchange.js';
import type { Reduction } from './reduction.js';
import type { RingPosition } from './ring-errors.js';
import { phaseOf, type Schedule, type Segment, segmentsReceived, segmentsSent } from './schedule.js';
import type { Scratch, ScratchSlot } from './scratch.js';
import type { OperationTag } from './segment-header.js';

export interface Neighbours {
  readonly next: SegmentSender;
  readonly prev: SegmentReceiver;
}

export interface TransferTask {
  readonly tag: OperationTag;
  readonly schedule: Schedule;
  readonly reduction: Reduction;
  checksum(bytes: Uint8Array): number;
}

/** Receives outstanding at a time: one being combined, one being filled. */
const RECEIVE_WINDOW = 2;

interface Held {
  readonly slot: ScratchSlot;
  readonly bytes: Uint8Array;
}

export class Transfer {
  readonly position: RingPosition;
  private readonly frames: FrameExchange;
  private readonly nextRank: number;
  private readonly prevRank: number;
  private readonly sends: Segment[];
  private readonly receives: Segment[];
  private readonly sending: ScratchSlot[];
  private readonly receiving: ScratchSlot[];
  private readonly posted: (Held & { readonly arrived: Promise<void> })[] = [];
  /** Arrived and combined; they leave in this order. */
  private readonly ready: Held[] = [];
  private readonly leaving = new Set<Promise<void>>();
  private failSend!: (error: unknown) => void;
  private readonly sendFailed = new Promise<never>((_resolve, reject) => {
    this.failSend = reject;
  });
  private sent = 0;
  private postedCount = 0;
  private wakeReceiver: (() => void) | undefined;

  constructor(
    private readonly task: TransferTask,
    private readonly links: Neighbours,
    scratch: Scratch,
    private readonly onProgress: () => void,
  ) {
    this.frames = new FrameExchange(task.tag, task.schedule, task.checksum);
    this.position = this.frames.position;
    const { rank, size } = task.schedule;
    this.nextRank = (rank + 1) % size;
    this.prevRank = (rank + size - 1) % size;
    this.sends = [...segmentsSent(task.schedule)];
    this.receives = [...segmentsReceived(task.schedule)];
    this.sending = [...scratch.sending];
    this.receiving = [...scratch.receiving];
  }

  /** @throws CoordError RING_BROKEN. The result is then undefined, and the links are of no more use. */
  run(): Promise<void> {
    return Promise.race([this.exchange(), this.sendFailed]);
  }

  private async exchange(): Promise<void> {
    this.sendWhatIsReady();
    for (const segment of this.receives) {
      this.postReceives();
      if (this.posted.length === 0) await this.slotFreed();
      await this.take(segment);
    }
    // The slots, and what the reduction brought, are read until all has left.
    while (this.leaving.size > 0) await Promise.all(this.leaving);
  }

  private postReceives(): void {
    while (this.posted.length < RECEIVE_WINDOW && this.postedCount < this.receives.length) {
      const slot = this.receiving.pop();
      if (!slot) return;
      const segment = this.receives[this.postedCount++];
      const bytes = slot.bytes.subarray(0, segment.end - segment.start);
      const arrived = this.frames.receive(this.links.prev, this.prevRank, segment, slot.header, bytes);
      // Its failure is reported when its turn comes; until then it must not count as unhandled.
      arrived.catch(() => {});
      this.posted.push({ slot, bytes, arrived });
    }
  }

  private async slotFreed(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.wakeReceiver = resolve;
    });
    this.postReceives();
  }

  private async take(segment: Segment): Promise<void> {
    const { schedule, reduction } = this.task;
    const { step, start, end } = segment;
    this.frames.enter(this.prevRank, phaseOf(schedule, step), segment);
    const held = this.posted[0];
    await held.arrived;
    this.posted.shift();
    this.onProgress();
    if (step < schedule.reduceSteps) reduction.addOwn(start, end, held.bytes);
    const isSentOn = step + 1 < schedule.steps;
    if (isSentOn) {
      this.ready.push(held);
      // Before the own use of it: the neighbour waits.
      this.sendWhatIsReady();
    }
    if (step + 1 >= schedule.reduceSteps) reduction.complete(start, end, held.bytes);
    if (!isSentOn) this.free(held.slot);
  }

  private free(slot: ScratchSlot): void {
    this.receiving.push(slot);
    this.wakeReceiver?.();
  }

  /** In the order of the schedule, as far as there is something to send and, for own segments, a slot to put it in. */
  private sendWhatIsReady(): void {
    for (let segment = this.sends[this.sent]; segment; segment = this.sends[this.sent]) {
      const held = segment.step === 0 ? this.ownSegment(segment) : this.ready.shift();
      if (!held) return;
      this.sent++;
      this.send(segment, held);
    }
  }

  private ownSegment({ start, end }: Segment): Held | undefined {
    const slot = this.sending.pop();
    return slot && { slot, bytes: this.task.reduction.own(start, end, slot.bytes.subarray(0, end - start)) };
  }

  private send(segment: Segment, { slot, bytes }: Held): void {
    const left = this.frames.send(this.links.next, this.nextRank, segment, slot.header, bytes).then(() => {
      this.leaving.delete(left);
      if (segment.step > 0) return this.free(slot);
      this.sending.push(slot);
      this.sendWhatIsReady();
    });
    this.leaving.add(left);
    left.catch(this.failSend);
  }
}
