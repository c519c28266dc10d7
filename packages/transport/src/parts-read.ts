/** Readers of frames, in order: each wants exactly its parts filled from one frame. */
import { sizeOfParts } from './segment-link.js';

export class PartsRead {
  readonly sizeBytes: number;
  /** Of all parts but the last. */
  readonly leadBytes: number;
  private part = 0;
  private filled = 0;
  private done = 0;

  constructor(
    private readonly parts: readonly Uint8Array[],
    /** Bytes behind the last part that may be written to. */
    private readonly spareBytes: number,
    readonly resolve: () => void,
    readonly reject: (error: Error) => void,
  ) {
    this.sizeBytes = sizeOfParts(parts);
    this.leadBytes = this.sizeBytes - (parts.at(-1)?.byteLength ?? 0);
  }

  get missingBytes(): number {
    return this.sizeBytes - this.done;
  }

  /** The unfilled rest of the current part, at most `limit` bytes; not empty while bytes are missing. */
  rest(limit: number): Uint8Array {
    const part = this.current();
    return part.subarray(this.filled, this.filled + limit);
  }

  /** The same; with up to `extraBytes` of the spare room behind it where it ends with the last part. */
  restAndSpare(limit: number, extraBytes: number): Uint8Array {
    const part = this.current();
    const restBytes = part.byteLength - this.filled;
    const isEnd = this.part === this.parts.length - 1 && limit >= restBytes;
    const roomBytes = isEnd ? restBytes + Math.min(extraBytes, this.spareBytes) : Math.min(limit, restBytes);
    return new Uint8Array(part.buffer, part.byteOffset + this.filled, roomBytes);
  }

  /** The first so many bytes of the spare room. */
  spare(count: number): Uint8Array {
    const last = this.parts[this.parts.length - 1];
    return new Uint8Array(last.buffer, last.byteOffset + last.byteLength, count);
  }

  private current(): Uint8Array {
    while (this.filled === this.parts[this.part].byteLength) {
      this.part++;
      this.filled = 0;
    }
    return this.parts[this.part];
  }

  /** So many bytes were put into what `rest` returned. */
  skip(count: number): void {
    this.filled += count;
    this.done += count;
  }

  copyFrom(source: Uint8Array, start: number, count: number): void {
    const end = start + count;
    for (let at = start; at < end; ) {
      const target = this.rest(end - at);
      target.set(source.subarray(at, at + target.byteLength));
      this.skip(target.byteLength);
      at += target.byteLength;
    }
  }
}

export class PartsReadQueue {
  private readonly queue: PartsRead[] = [];

  get first(): PartsRead | undefined {
    return this.queue[0];
  }

  add(parts: readonly Uint8Array[], spareBytes = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      this.queue.push(new PartsRead(parts, spareBytes, resolve, reject));
    });
  }

  completeFirst(): void {
    this.queue.shift()?.resolve();
  }

  rejectAll(error: Error): void {
    for (const read of this.queue.splice(0)) read.reject(error);
  }
}
