/** Copies of what updates are made of. Their memory is used again: fresh pages and garbage cost more than the copying. */

/** One that is being filled, and one that is being sent. */
const MAX_KEPT = 2;

export class UpdateCopies {
  readonly #free: Uint8Array[][] = [];

  /** The sections as they are now. They are always of the same sizes. */
  take(sections: readonly Uint8Array[]): Uint8Array[] {
    const copy = this.#free.pop() ?? sections.map(({ byteLength }) => Buffer.allocUnsafeSlow(byteLength));
    for (const [index, target] of copy.entries()) target.set(sections[index]);
    return copy;
  }

  /** Nobody reads this copy any more. */
  giveBack(copy: Uint8Array[]): void {
    if (this.#free.length < MAX_KEPT) this.#free.push(copy);
  }

  /** Nobody will want one for a while. */
  clear(): void {
    this.#free.length = 0;
  }
}
