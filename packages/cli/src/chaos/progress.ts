/** What a chaos run sees of its cluster's steps: how many, when, and the longest pauses between them. */
export class StepProgress {
  /** When each step was reported, in ms since the start, and its number. */
  readonly times: number[] = [];
  step = 0;
  #waiting: { step: number; wake(): void }[] = [];

  note(step: number, atMs: number): void {
    this.times.push(atMs);
    this.step = Math.max(this.step, step);
    const due = this.#waiting.filter((waiting) => waiting.step <= this.step);
    this.#waiting = this.#waiting.filter((waiting) => waiting.step > this.step);
    for (const { wake } of due) wake();
  }

  reached(step: number): Promise<void> {
    if (this.step >= step) return Promise.resolve();
    return new Promise((wake) => this.#waiting.push({ step, wake }));
  }

  /** Steps completed in [fromMs, toMs). */
  countBetween(fromMs: number, toMs: number): number {
    return indexAt(this.times, toMs) - indexAt(this.times, fromMs);
  }

  /** The longest pause that overlaps [fromMs, toMs]; in milliseconds. */
  longestPauseMs(fromMs: number, toMs: number): number {
    const first = Math.max(1, indexAt(this.times, fromMs));
    let longest = 0;
    for (let at = first; at < this.times.length && this.times[at - 1] <= toMs; at++) {
      longest = Math.max(longest, this.times[at] - this.times[at - 1]);
    }
    return longest;
  }
}

/** Index of the first entry that is not below `value`; the times are sorted. */
function indexAt(times: readonly number[], value: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
