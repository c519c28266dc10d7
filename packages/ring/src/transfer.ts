/**
 * Transfer: runs one ring schedule over two links. Receives, combines, sends on and hands over what is complete, segment by
 * segment. Each arrival and each departure causes the next ones, so that a segment costs no more promises than its two links make.
 */
import type { SegmentReceiver, SegmentSender } from '@coord/transport';
import { FrameExchange } from './frame-exchange.js';
import type { PeerWait } from './peer-wait.js';
import type { Reduction } from './reduction.js';
import type { RingPosition } from './ring-errors.js';
import { phaseOf, type Schedule, type Segment } from './schedule.js';
import { type Scratch, type ScratchSlot, SPARE_BYTES, slotView } from './scratch.js';
import type { OperationTag } from './segment-header.js';

export interface Neighbours {
  readonly next: SegmentSender;
  readonly prev: SegmentReceiver;
}

export interface TransferTask {
  readonly tag: OperationTag;
  readonly schedule: Schedule;
  readonly reduction: Reduction;
  readonly wait: PeerWait;
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
  private readonly sending: ScratchSlot[];
  private readonly receiving: ScratchSlot[];
  /** Arrived and combined; they leave in this order. */
  private readonly ready: Held[] = [];
  private sent = 0;
  private left = 0;
  private posted = 0;
  private taken = 0;
  private hasEnded = false;
  private settle!: { resolve(): void; reject(error: unknown): void };

  constructor(
    private readonly task: TransferTask,
    private readonly links: Neighbours,
    scratch: Scratch,
    private readonly onProgress: () => void,
  ) {
    this.frames = new FrameExchange(task.tag, task.schedule, task.checksum, task.wait);
    this.position = this.frames.position;
    const { rank, size } = task.schedule;
    this.nextRank = (rank + 1) % size;
    this.prevRank = (rank + size - 1) % size;
    this.sending = [...scratch.sending];
    this.receiving = [...scratch.receiving];
  }

  /** @throws CoordError RING_BROKEN. The result is then undefined, and the links are of no more use. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
      this.attempt(() => this.goOn());
    });
  }

  /** All that can be done now: callbacks of the links come here. */
  private goOn(): void {
    this.sendWhatIsReady();
    this.postReceives();
    const { sends, receives } = this.task.schedule;
    // The slots, and what the reduction brought, are read until all has left.
    if (this.taken === receives.length && this.left === sends.length) this.end(this.settle.resolve);
  }

  private postReceives(): void {
    const { receives } = this.task.schedule;
    while (this.posted - this.taken < RECEIVE_WINDOW && this.posted < receives.length) {
      const slot = this.receiving.pop();
      if (!slot) break;
      this.receive(receives[this.posted++], slot);
    }
    if (this.taken < receives.length) this.awaits(receives[this.taken]);
    // What is still to leave waits for the one who reads it.
    else this.position.peer = this.nextRank;
  }

  private awaits(segment: Segment): void {
    this.frames.enter(this.prevRank, phaseOf(this.task.schedule, segment.step), segment);
  }

  private receive(segment: Segment, slot: ScratchSlot): void {
    const bytes = slotView(slot, segment.end - segment.start);
    this.links.prev.receive([slot.header, bytes], SPARE_BYTES).then(
      () => this.attempt(() => this.take(segment, { slot, bytes })),
      (cause) => this.fail(this.frames.broken(this.prevRank, cause)),
    );
  }

  /** Segments arrive in the order in which they were asked for. */
  private take(segment: Segment, held: Held): void {
    const { schedule, reduction } = this.task;
    const { step, start, end } = segment;
    this.frames.check(this.prevRank, segment, held.slot.header, held.bytes);
    this.taken++;
    this.onProgress();
    if (step < schedule.reduceSteps) reduction.addOwn(start, end, held.bytes);
    const isSentOn = step + 1 < schedule.steps;
    if (isSentOn) {
      this.ready.push(held);
      // Before the own use of it: the neighbour waits.
      this.sendWhatIsReady();
    }
    if (step + 1 >= schedule.reduceSteps) reduction.complete(start, end, held.bytes);
    if (!isSentOn) this.receiving.push(held.slot);
    this.goOn();
  }

  /** In the order of the schedule, as far as there is something to send and, for own segments, a slot to put it in. */
  private sendWhatIsReady(): void {
    const { sends } = this.task.schedule;
    for (let segment = sends[this.sent]; segment; segment = sends[this.sent]) {
      const held = segment.step === 0 ? this.ownSegment(segment) : this.ready.shift();
      if (!held) return;
      this.sent++;
      this.send(segment, held);
    }
  }

  private ownSegment({ start, end }: Segment): Held | undefined {
    const slot = this.sending.pop();
    return slot && { slot, bytes: this.task.reduction.own(start, end, slotView(slot, end - start)) };
  }

  private send(segment: Segment, { slot, bytes }: Held): void {
    if (segment.step > this.task.schedule.reduceSteps) this.frames.restamp(slot.header, segment);
    else this.frames.stamp(slot.header, segment, bytes);
    this.links.next.send(slot.header, bytes).then(
      () => this.attempt(() => this.hasLeft(segment, slot)),
      (cause) => this.fail(this.frames.broken(this.nextRank, cause)),
    );
  }

  private hasLeft({ step }: Segment, slot: ScratchSlot): void {
    this.left++;
    (step > 0 ? this.receiving : this.sending).push(slot);
    this.goOn();
  }

  /** Nothing is read or written after the end. */
  private attempt(work: () => void): void {
    if (this.hasEnded) return;
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    this.end(() => this.settle.reject(error));
  }

  private end(how: () => void): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    how();
  }
}
