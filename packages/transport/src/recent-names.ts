/** Names that have been seen, the newest of them: as many as memory is meant for. */
export class RecentNames {
  readonly #names = new Set<string>();

  constructor(private readonly max: number) {}

  /** @returns whether it is new. */
  add(name: string): boolean {
    if (this.#names.has(name)) return false;
    const [oldest] = this.#names;
    if (this.#names.size >= this.max) this.#names.delete(oldest);
    this.#names.add(name);
    return true;
  }
}
