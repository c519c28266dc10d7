/** Places values in one memory so that those which live at the same time do not overlap. Pure. */

export interface Lifetime {
  readonly name: string;
  readonly bytes: number;
  /** Numbers of the segments that write it and that read it last. */
  readonly first: number;
  readonly last: number;
}

export interface MemoryPlan {
  /** Bytes from the memory's start. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly bytes: number;
}

/** A cache line. */
const ALIGNMENT = 64;

interface Placed extends Lifetime {
  readonly start: number;
  readonly end: number;
}

/**
 * The largest first, each into the lowest gap among those that live at the same time.
 * Source: Y. Pisarchyk and J. Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020 (greedy by size).
 *
 * @param base bytes at the start that stay free.
 */
export function planMemory(values: readonly Lifetime[], base = 0): MemoryPlan {
  const placed: Placed[] = [];
  for (const value of [...values].sort(byFallingSize)) {
    const start = lowestGap(
      placed.filter((other) => overlap(other, value)),
      value.bytes,
      aligned(base),
    );
    placed.push({ ...value, start, end: aligned(start + value.bytes) });
  }
  const bytes = Math.max(aligned(base), ...placed.map(({ end }) => end));
  return { offsets: new Map(placed.map(({ name, start }) => [name, start])), bytes };
}

/** What no plan exceeds, whenever the values live; each lies in the lowest gap, so none lies beyond all others in a row. */
export const planBound = (bytes: readonly number[], base = 0): number =>
  bytes.reduce((sum, size) => sum + aligned(size), aligned(base));

function lowestGap(neighbours: readonly Placed[], bytes: number, base: number): number {
  let start = base;
  for (const { start: taken, end } of [...neighbours].sort((a, b) => a.start - b.start)) {
    if (taken - start >= bytes) return start;
    start = Math.max(start, end);
  }
  return start;
}

/** Equal sizes by name, so that the plan does not depend on the order of the values. */
const byFallingSize = (a: Lifetime, b: Lifetime): number => b.bytes - a.bytes || (a.name < b.name ? -1 : 1);

const overlap = (a: Lifetime, b: Lifetime): boolean => a.first <= b.last && b.first <= a.last;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
