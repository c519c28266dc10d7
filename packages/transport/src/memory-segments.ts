/** A segment link in memory. It obeys the contract of the real one: order, back-pressure, latency, loss. */
import { type LinkClosed, linkClosedError } from './link.js';
import { MemoryPipe, type MemoryPipeOptions } from './memory-pipe.js';
import { PartsReadQueue } from './parts-read.js';
import { frameInvalidError, type SegmentReceiver, type SegmentSender } from './segment-link.js';

export interface SegmentPair {
  readonly sender: SegmentSender;
  readonly receiver: SegmentReceiver;
  /** Loses the connection, with all that is under way. */
  cut(): void;
}

export function createSegmentPair(options: MemoryPipeOptions = {}): SegmentPair {
  const link = new MemorySegments(options);
  return {
    sender: { send: (...parts) => link.send(parts), close: () => link.closeSender(), closed: link.closed },
    receiver: { receive: (...parts) => link.receive(parts), close: () => link.closeReceiver(), closed: link.closed },
    cut: () => link.finish({ reason: 'the connection was lost', clean: false }),
  };
}

class MemorySegments {
  readonly closed: Promise<LinkClosed>;
  private readonly pipe: MemoryPipe;
  private readonly reads = new PartsReadQueue();
  private readonly arrived: Uint8Array[] = [];
  private closing = false;
  private outcome: LinkClosed | undefined;
  private failure: Error | undefined;
  private resolveClosed!: (closed: LinkClosed) => void;

  constructor(options: MemoryPipeOptions) {
    this.pipe = new MemoryPipe((bytes) => this.arrive(bytes), options);
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }

  async send(parts: readonly Uint8Array[]): Promise<void> {
    if (this.outcome || this.closing) throw this.closedError();
    await this.pipe.send(Buffer.concat(parts));
  }

  receive(parts: readonly Uint8Array[]): Promise<void> {
    const received = this.reads.add(parts);
    this.deliver();
    return received;
  }

  closeSender(): void {
    if (this.closing) return;
    this.closing = true;
    this.pipe.afterLast(() => this.finish({ reason: 'closed by the sender', clean: true }));
  }

  closeReceiver(): void {
    this.failure ??= linkClosedError('the sender', { reason: 'closed by the receiver', clean: true });
    this.finish({ reason: 'closed by the receiver', clean: true });
  }

  finish(outcome: LinkClosed): void {
    if (this.outcome) return;
    this.outcome = outcome;
    this.pipe.cut(this.closedError());
    this.deliver();
    this.resolveClosed(outcome);
  }

  private arrive(bytes: Uint8Array): void {
    this.arrived.push(bytes);
    this.deliver();
  }

  private deliver(): void {
    for (let read = this.reads.first; read && this.arrived.length > 0 && !this.failure; read = this.reads.first) {
      const bytes = this.arrived.shift() as Uint8Array;
      if (bytes.byteLength !== read.sizeBytes) {
        this.refuse(bytes.byteLength, read.sizeBytes);
        return;
      }
      read.copyFrom(bytes, 0, bytes.byteLength);
      this.reads.completeFirst();
      this.pipe.release(bytes.byteLength);
    }
    if (this.failure) this.reads.rejectAll(this.failure);
    else if (this.outcome) this.reads.rejectAll(this.closedError());
  }

  private refuse(sizeBytes: number, expectedBytes: number): void {
    const what = `sent a frame of ${sizeBytes} bytes where ${expectedBytes} were expected`;
    this.failure = frameInvalidError('the sender', what, { sizeBytes, expectedBytes });
    this.reads.rejectAll(this.failure);
    this.finish({ reason: this.failure.message, clean: false });
  }

  private closedError(): Error {
    return linkClosedError('the other end', this.outcome ?? { reason: 'it is closing', clean: true });
  }
}
