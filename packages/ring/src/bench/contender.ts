/** Contender: a group of ranks that all-reduce on command. Several are timed in turns, so that all see the same machine. */
export interface Timing {
  /** Duration of each iteration on rank 0, in milliseconds. */
  readonly ms: readonly number[];
  /** Elements that differ from the expected sum, over all ranks. */
  readonly wrong: number;
}

export interface Contender {
  readonly name: string;
  readonly ranks: number;
  /** Runs so many all-reduces of a float32 buffer, all ranks together, and checks the last one. */
  time(bytes: number, iterations: number): Promise<Timing>;
  stop(): Promise<void>;
}

/** Value `index` of rank `rank`'s buffer: small multiples of a power of two, so that float32 sums are exact too. */
export const benchValue = (rank: number, index: number): number => ((index % 251) - 125) * 0.5 + (rank + 1) * 0.25;

/** What the sum over all ranks must be. */
export const benchSum = (ranks: number, index: number): number =>
  ((index % 251) - 125) * 0.5 * ranks + (ranks * (ranks + 1)) / 8;
