/** Hash log: the weights hash of every step that was ever settled, 32 bytes each: a million steps fit 32 MB. */
const HASH_BYTES = 32;
const FIRST_CAPACITY = 1024;

export class HashLog {
  private bytes = Buffer.alloc(FIRST_CAPACITY * HASH_BYTES);

  /** @param sha256 64 hex digits. */
  set(step: number, sha256: string): void {
    const at = step * HASH_BYTES;
    if (at + HASH_BYTES > this.bytes.length) this.grow(at + HASH_BYTES);
    this.bytes.write(sha256, at, HASH_BYTES, 'hex');
  }

  /** Undefined for a step that was never settled. (No weights have a hash of zeros.) */
  get(step: number): string | undefined {
    const hash = this.bytes.subarray(step * HASH_BYTES, (step + 1) * HASH_BYTES);
    return hash.length === HASH_BYTES && hash.some((byte) => byte !== 0) ? hash.toString('hex') : undefined;
  }

  private grow(neededBytes: number): void {
    const larger = Buffer.alloc(Math.max(neededBytes, this.bytes.length * 2));
    this.bytes.copy(larger);
    this.bytes = larger;
  }
}
