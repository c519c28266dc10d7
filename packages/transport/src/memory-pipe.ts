/** One direction of an in-memory connection: in order, with latency, a line rate and a limited buffer. */
import { type Clock, systemClock } from '@coord/protocol';
import { sizeOfParts } from './segment-link.js';

export interface MemoryPipeOptions {
  /** From the end of sending to arrival. Default 0. */
  readonly latencyMs?: number;
  /** Line rate. Default: unlimited. */
  readonly bytesPerSecond?: number;
  /** Bytes under way or unread at which `send` starts to wait. Default 1 MiB. */
  readonly capacityBytes?: number;
  readonly clock?: Clock;
}

interface Waiting {
  readonly bytes: Uint8Array;
  resolve(): void;
  reject(error: Error): void;
}

const DEFAULT_CAPACITY_BYTES = 1024 * 1024;
const WORD_BYTES = 8;

/** The last part begins at a word: engines copy into and out of shared memory by words, or else byte by byte. */
function messageOf(parts: readonly Uint8Array[]): Uint8Array {
  const sizeBytes = sizeOfParts(parts);
  const leadBytes = sizeBytes - (parts.at(-1)?.byteLength ?? 0);
  const pad = (WORD_BYTES - (leadBytes % WORD_BYTES)) % WORD_BYTES;
  const message = new Uint8Array(pad + sizeBytes).subarray(pad);
  let at = 0;
  for (const part of parts) {
    message.set(part, at);
    at += part.byteLength;
  }
  return message;
}

export class MemoryPipe {
  private readonly clock: Clock;
  private readonly latencyMs: number;
  private readonly msPerByte: number;
  private readonly capacityBytes: number;
  private readonly waiting: Waiting[] = [];
  private readonly cancels = new Set<() => void>();
  private readonly underWay: (() => void)[] = [];
  private heldBytes = 0;
  private lineFreeAtMs = 0;
  private broken: Error | undefined;

  constructor(
    private readonly deliver: (bytes: Uint8Array) => void,
    options: MemoryPipeOptions,
  ) {
    this.clock = options.clock ?? systemClock;
    this.latencyMs = options.latencyMs ?? 0;
    this.msPerByte = options.bytesPerSecond === undefined ? 0 : 1000 / options.bytesPerSecond;
    this.capacityBytes = options.capacityBytes ?? DEFAULT_CAPACITY_BYTES;
  }

  /** Copies the parts into one message; resolves when the buffer has room for it. */
  send(...parts: readonly Uint8Array[]): Promise<void> {
    if (this.broken) return Promise.reject(this.broken);
    const bytes = messageOf(parts);
    return new Promise((resolve, reject) => {
      this.waiting.push({ bytes, resolve, reject });
      this.pump();
    });
  }

  /** Runs `action` when everything sent so far has arrived. */
  afterLast(action: () => void): void {
    this.schedule(0, action);
  }

  /** Runs `action` as soon as anything could arrive now, past what was under way. */
  whenReached(action: () => void): void {
    this.clock.after(this.latencyMs, action);
  }

  /** The reader has taken so many bytes out of the buffer. */
  release(sizeBytes: number): void {
    this.heldBytes -= sizeBytes;
    this.pump();
  }

  /** What is under way is lost; senders get `error`. */
  cut(error: Error): void {
    this.broken ??= error;
    for (const cancel of this.cancels) cancel();
    this.cancels.clear();
    this.underWay.length = 0;
    for (const { reject } of this.waiting.splice(0)) reject(this.broken);
  }

  private pump(): void {
    // A message larger than the whole buffer passes when the buffer is empty.
    while (this.waiting.length > 0 && !this.broken) {
      const { bytes, resolve } = this.waiting[0];
      if (this.heldBytes > 0 && this.heldBytes + bytes.byteLength > this.capacityBytes) return;
      this.waiting.shift();
      this.heldBytes += bytes.byteLength;
      this.schedule(bytes.byteLength, () => this.deliver(bytes));
      resolve();
    }
  }

  private schedule(sizeBytes: number, action: () => void): void {
    const nowMs = this.clock.nowMs();
    this.lineFreeAtMs = Math.max(nowMs, this.lineFreeAtMs) + sizeBytes * this.msPerByte;
    const delayMs = this.lineFreeAtMs + this.latencyMs - nowMs;
    this.underWay.push(action);
    if (delayMs <= 0) queueMicrotask(() => this.arriveNext());
    else this.arriveAfter(delayMs);
  }

  private arriveAfter(delayMs: number): void {
    const cancel = this.clock.after(delayMs, () => {
      this.cancels.delete(cancel);
      this.arriveNext();
    });
    this.cancels.add(cancel);
  }

  /** Timers of different lengths may fire out of order; what arrives is always the first under way. */
  private arriveNext(): void {
    this.underWay.shift()?.();
  }
}
