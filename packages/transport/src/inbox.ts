/** Inbox: keeps arrived messages in order until they are read, and readers in order until messages arrive. */

interface Reader {
  resolve(message: Uint8Array): void;
  reject(error: Error): void;
}

export class Inbox {
  private readonly messages: Uint8Array[] = [];
  private readonly readers: Reader[] = [];
  private heldBytes = 0;
  private end: (() => Error) | undefined;

  /** @param onRead called after a stored message was taken; `sizeBytes` is then smaller than before. */
  constructor(private readonly onRead: () => void = () => {}) {}

  /** Bytes that have arrived and were not read. */
  get sizeBytes(): number {
    return this.heldBytes;
  }

  push(message: Uint8Array): void {
    if (this.end) return;
    const reader = this.readers.shift();
    if (reader) {
      reader.resolve(message);
    } else {
      this.messages.push(message);
      this.heldBytes += message.byteLength;
    }
  }

  take(): Promise<Uint8Array> {
    const message = this.messages.shift();
    if (message) {
      this.heldBytes -= message.byteLength;
      this.onRead();
      return Promise.resolve(message);
    }
    if (this.end) return Promise.reject(this.end());
    return new Promise((resolve, reject) => this.readers.push({ resolve, reject }));
  }

  /** No further message is stored; readers get `error()` after those that are. */
  finish(error: () => Error): void {
    this.end ??= error;
    for (const reader of this.readers.splice(0)) reader.reject(error());
  }
}
