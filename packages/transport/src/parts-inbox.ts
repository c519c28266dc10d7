/** Parts inbox: brings arrived frames and the readers that want them filled in together, in order. */
import type { CoordError } from '@coord/protocol';
import { PartsReadQueue } from './parts-read.js';
import { frameInvalidError } from './segment-link.js';

export interface PartsInboxOptions {
  /** Who sends, for errors. */
  readonly remote: string;
  /** A frame has been read. */
  onRead(sizeBytes: number): void;
  /** A frame had another length than its reader expected; the link is of no more use. */
  onMisfit(error: CoordError): void;
}

export class PartsInbox {
  private readonly reads = new PartsReadQueue();
  private readonly frames: Uint8Array[] = [];
  private failure: Error | undefined;
  private end: (() => Error) | undefined;

  constructor(private readonly options: PartsInboxOptions) {}

  push(frame: Uint8Array): void {
    this.frames.push(frame);
    this.deliver();
  }

  receive(parts: readonly Uint8Array[]): Promise<void> {
    const received = this.reads.add(parts);
    this.deliver();
    return received;
  }

  /** No further frame comes; readers get `error()` after those that are here. */
  finish(error: () => Error): void {
    this.end ??= error;
    this.deliver();
  }

  /** Readers get `error` from now on, whatever is here. */
  fail(error: Error): void {
    this.failure ??= error;
    this.reads.rejectAll(this.failure);
  }

  private deliver(): void {
    while (!this.failure && this.reads.first && this.frames.length > 0) this.deliverOne();
    if (this.failure) this.reads.rejectAll(this.failure);
    else if (this.end && this.reads.first) this.reads.rejectAll(this.end());
  }

  private deliverOne(): void {
    const [read, frame] = [this.reads.first, this.frames.shift()];
    if (!read || !frame) return;
    const { byteLength } = frame;
    if (byteLength === read.sizeBytes) {
      read.copyFrom(frame, 0, byteLength);
      this.reads.completeFirst();
      this.options.onRead(byteLength);
    } else {
      this.misfit(byteLength, read.sizeBytes);
    }
  }

  private misfit(sizeBytes: number, expectedBytes: number): void {
    const what = `sent a frame of ${sizeBytes} bytes where ${expectedBytes} were expected`;
    const error = frameInvalidError(this.options.remote, what, { sizeBytes, expectedBytes });
    this.fail(error);
    this.options.onMisfit(error);
  }
}
