/** A segment link in memory. It obeys the contract of the real one: order, back-pressure, latency, loss. */
import { type LinkClosed, linkClosedError } from './link.js';
import { MemoryPipe, type MemoryPipeOptions } from './memory-pipe.js';
import { PartsInbox } from './parts-inbox.js';
import type { SegmentReceiver, SegmentSender } from './segment-link.js';

export interface SegmentPair {
  readonly sender: SegmentSender;
  readonly receiver: SegmentReceiver;
  /** Loses the connection, with all that is under way. */
  cut(): void;
}

export function createSegmentPair(options: MemoryPipeOptions = {}): SegmentPair {
  const link = new MemorySegments(options);
  return {
    sender: {
      send: (...parts) => link.send(parts),
      beat: (value) => link.beat(value),
      close: () => link.closeSender(),
      closed: link.closed,
    },
    receiver: {
      receive: (parts) => link.receive(parts),
      onBeat: (callback) => link.onBeat(callback),
      close: () => link.closeReceiver(),
      closed: link.closed,
    },
    cut: () => link.finish({ reason: 'the connection was lost', clean: false }),
  };
}

class MemorySegments {
  readonly closed: Promise<LinkClosed>;
  private readonly pipe: MemoryPipe;
  private readonly inbox: PartsInbox;
  private closing = false;
  private outcome: LinkClosed | undefined;
  private resolveClosed!: (closed: LinkClosed) => void;
  private heard: (value: number) => void = () => {};

  constructor(options: MemoryPipeOptions) {
    this.pipe = new MemoryPipe((bytes) => this.inbox.push(bytes), options);
    this.inbox = new PartsInbox({
      remote: 'the sender',
      onRead: (sizeBytes) => this.pipe.release(sizeBytes),
      onMisfit: (error) => this.finish({ reason: error.message, clean: false }),
    });
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }

  async send(parts: readonly Uint8Array[]): Promise<void> {
    if (this.outcome || this.closing) throw this.closedError();
    await this.pipe.send(...parts);
  }

  beat(value: number): void {
    if (this.outcome || this.closing) return;
    this.pipe.whenReached(() => this.outcome || this.heard(value));
  }

  onBeat(callback: (value: number) => void): void {
    this.heard = callback;
  }

  receive(parts: readonly Uint8Array[]): Promise<void> {
    return this.inbox.receive(parts);
  }

  closeSender(): void {
    if (this.closing) return;
    this.closing = true;
    this.pipe.afterLast(() => this.finish({ reason: 'closed by the sender', clean: true }));
  }

  closeReceiver(): void {
    this.inbox.fail(linkClosedError('the sender', { reason: 'closed by the receiver', clean: true }));
    this.finish({ reason: 'closed by the receiver', clean: true });
  }

  finish(outcome: LinkClosed): void {
    if (this.outcome) return;
    this.outcome = outcome;
    this.pipe.cut(this.closedError());
    this.inbox.finish(() => this.closedError());
    this.resolveClosed(outcome);
  }

  private closedError(): Error {
    return linkClosedError('the other end', this.outcome ?? { reason: 'it is closing', clean: true });
  }
}
