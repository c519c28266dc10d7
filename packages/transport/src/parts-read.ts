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
    while (this.filled === this.parts[this.part].byteLength) {
      this.part++;
      this.filled = 0;
    }
    return this.parts[this.part].subarray(this.filled, this.filled + limit);
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

  add(parts: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.queue.push(new PartsRead(parts, resolve, reject));
    });
  }

  completeFirst(): void {
    this.queue.shift()?.resolve();
  }

  rejectAll(error: Error): void {
    for (const read of this.queue.splice(0)) read.reject(error);
  }
}
