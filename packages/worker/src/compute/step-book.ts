/** Where the grains of the step in progress are: in which threads' sums, or in none yet. */
import type { QuantiseMode } from '@coord/ring';
import type { FloatGrain, GrainFlags } from './requests.js';

interface WaitingGrain {
  readonly grain: FloatGrain;
  readonly outcome: { -readonly [Flag in keyof GrainFlags]: boolean };
  /** Its flags are set and its exponents known; only the sums lack it still. */
  isJudged: boolean;
}

export class StepBook {
  /** Threads whose sums are of this step. The others' are of an earlier one. */
  readonly #begun = new Set<number>();
  /** By thread: grains that are floats still. */
  readonly #waiting = new Map<number, WaitingGrain>();

  clear(): void {
    this.#begun.clear();
    this.#waiting.clear();
  }

  get begun(): number[] {
    return [...this.#begun];
  }

  /** How a grain goes to the thread's sums now: the first of a step replaces what is there. */
  modeOf(thread: number): QuantiseMode {
    const mode = this.#begun.has(thread) ? 'add' : 'store';
    this.#begun.add(thread);
    return mode;
  }

  /** @param outcome takes the flags when they are known. */
  wait(grain: FloatGrain, outcome: GrainFlags): void {
    this.#waiting.set(grain.thread, { grain, outcome, isJudged: false });
  }

  get waiting(): FloatGrain[] {
    return [...this.#waiting.values()].map(({ grain }) => grain);
  }

  /** What has come out when the grain was made integers. */
  judge({ thread }: FloatGrain, { overflow, nonFinite }: GrainFlags): void {
    const waiting = this.#waiting.get(thread);
    if (!waiting) return;
    Object.assign(waiting.outcome, { overflow, nonFinite });
    waiting.isJudged = true;
  }

  /** It is in the thread's sums. */
  settled({ thread }: FloatGrain): void {
    this.#waiting.delete(thread);
  }

  /** @throws Error when a grain is in no sum, on any thread where none is named. */
  requireSettled(thread?: number): void {
    for (const waiting of this.#waiting.keys()) if (thread === undefined || thread === waiting) throw waits(waiting);
  }

  /** @throws Error when the flags of a grain are not known yet. */
  requireJudged(): void {
    for (const [thread, { isJudged }] of this.#waiting) if (!isJudged) throw waits(thread);
  }
}

const waits = (thread: number): Error => new Error(`a grain of compute thread ${thread} waits to be added to its sums`);
