/** The grains that this host has added to its sums in the step in progress. Survives a change of view. */
import type { Compute, GrainOutcome } from './compute/compute-pool.js';
import type { Attempt } from './grain-book.js';
import type { HostState } from './host-state.js';

export class StepProgress {
  readonly outcomes = new Map<number, GrainOutcome>();
  attempt: Attempt = 0;

  /** Of the state that the grains were computed from. */
  #replacements = 0;

  constructor(
    private readonly compute: Pick<Compute, 'clear' | 'isSpent'>,
    private readonly state: Pick<HostState, 'replacements'>,
  ) {}

  /**
   * Drops what was computed from a state that another has replaced since, in whichever view that was, and what went into a mean of
   * which no update was made.
   */
  dropVoid(): void {
    if (this.#replacements !== this.state.replacements || this.compute.isSpent) this.restart(0);
  }

  grainsHeld(): ReadonlySet<number> {
    return new Set(this.outcomes.keys());
  }

  restart(attempt: Attempt): void {
    this.attempt = attempt;
    this.#replacements = this.state.replacements;
    this.outcomes.clear();
    this.compute.clear();
  }
}
