/** The grains that this host has added to its sums in the step in progress. Survives a change of view. */
import type { Compute, GrainOutcome } from './compute/compute-pool.js';
import type { Attempt } from './grain-book.js';

export class StepProgress {
  readonly outcomes = new Map<number, GrainOutcome>();
  attempt: Attempt = 0;

  constructor(private readonly compute: Compute) {}

  grainsHeld(): ReadonlySet<number> {
    return new Set(this.outcomes.keys());
  }

  restart(attempt: Attempt): void {
    this.attempt = attempt;
    this.outcomes.clear();
    this.compute.clear();
  }
}
