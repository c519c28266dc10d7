/** The most recently used blocks, up to a number of bytes. A Map keeps insertion order; a hit moves to the end. */
export class RecentBlocks {
  readonly #blocks = new Map<string, Uint8Array>();
  #heldBytes = 0;

  constructor(readonly limitBytes: number) {}

  get(sha256: string): Uint8Array | undefined {
    const bytes = this.#blocks.get(sha256);
    if (bytes) {
      this.#blocks.delete(sha256);
      this.#blocks.set(sha256, bytes);
    }
    return bytes;
  }

  set(sha256: string, bytes: Uint8Array): void {
    if (this.#blocks.has(sha256)) return;
    this.#blocks.set(sha256, bytes);
    this.#heldBytes += bytes.byteLength;
    for (const [oldest, { byteLength }] of this.#blocks) {
      if (this.#heldBytes <= this.limitBytes) return;
      this.#blocks.delete(oldest);
      this.#heldBytes -= byteLength;
    }
  }
}
