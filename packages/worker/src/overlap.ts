/**
 * Whether the steps of a view overlap reducing and computing. The ring's operations and their order depend on it, so the answer
 * follows from what all hosts of the view know alike: the run, the training state, and what they told each other in the
 * maxima exchange.
 */
import type { PhaseTimes, RingSpec } from '@coord/protocol';
import type { StepMaxima } from './reduction.js';

/** Share of a step that reducing must take, with the threads idle meanwhile, for overlap to be worth its stages. */
const WORTHWHILE_SHARE = 0.1;
/** Steps in a row that must say so: one slow step may have any cause. */
const STEPS_IN_A_ROW = 3;

export class Overlap {
  #costlySteps = 0;
  #isAgreed = false;

  constructor(
    private readonly spec: RingSpec,
    private readonly hosts: number,
    private readonly buckets: number,
  ) {}

  /**
   * @param expected the state's exponents. Where they are silent, as before the first step, its values will not fit, and sums
   *   that run ahead would be thrown away.
   */
  isOn(expected: Uint8Array): boolean {
    if (this.spec.overlap === 'off' || this.hosts === 1 || !expected.some((exponent) => exponent > 0)) return false;
    return this.spec.overlap === 'on' || this.#isAgreed;
  }

  /** Where this host would have the view overlap from now on; it says so in the maxima exchange. */
  get isWanted(): boolean {
    return this.spec.overlap === 'auto' && this.buckets > 1 && this.#costlySteps >= STEPS_IN_A_ROW;
  }

  /**
   * After each step.
   *
   * @param maxima of the step; what one host wants, all do.
   * @param times of a step that did not overlap.
   */
  learn(maxima: Pick<StepMaxima, 'overlap'>, times: PhaseTimes | undefined): void {
    if (maxima.overlap) this.#isAgreed = true;
    if (times) this.#costlySteps = times.ringMs > WORTHWHILE_SHARE * times.totalMs ? this.#costlySteps + 1 : 0;
  }
}
