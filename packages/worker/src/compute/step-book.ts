/** Where the grains of the step in progress are: in which threads' sums, or in none yet. */
import type { QuantiseMode } from '@coord/ring';
import type { FloatGrain, GrainFlags } from './requests.js';

interface WaitingGrain {
  readonly grain: FloatGrain;
  readonly outcome: GrainFlags;
}

export class StepBook {
  /** Threads whose sums are of this step. The others' are of an earlier one. */
  readonly #begun = new Set<number>();
  /** By thread: grains that are floats still. */
  readonly #waiting = new Map<number, WaitingGrain>();
  #isSpent = false;

  clear(): void {
    this.#begun.clear();
    this.#waiting.clear();
    this.#isSpent = false;
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
    this.#waiting.set(grain.thread, { grain, outcome });
  }

  get waiting(): FloatGrain[] {
    return [...this.#waiting.values()].map(({ grain }) => grain);
  }

  /** The grain waits no longer. @param flags what has come out when it was made integers. */
  taken({ thread }: FloatGrain, { overflow, nonFinite }: GrainFlags): void {
    const waiting = this.#waiting.get(thread);
    if (waiting) Object.assign(waiting.outcome, { overflow, nonFinite });
    this.#waiting.delete(thread);
  }

  /** Grains have gone into a mean and are in no sum: nothing but the step's update can be made of them. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  spend(): void {
    this.#isSpent = true;
  }

  /** @throws Error when a grain waits, on any thread where none is named. */
  requireTaken(thread?: number): void {
    const waiting = [...this.#waiting.keys()].find((one) => thread === undefined || thread === one);
    if (waiting !== undefined) throw new Error(`a grain of compute thread ${waiting} waits to be added to its sums`);
  }

  /** @throws Error when sums lack grains of the step. */
  requireWhole(thread?: number): void {
    this.requireTaken(thread);
    if (this.#isSpent) throw new Error('grains of this step have gone into its mean, and are in no sum');
  }
}
