/**
 * Sums that are made before the maxima are known. Where those then say that some value did not fit or was not finite, these sums are
 * dropped (docs/decisions/0014-sums-ahead-of-maxima.md).
 */
import type { Compute, GrainHandling } from './compute/compute-pool.js';

export interface SumAhead {
  /** How each thread adds the last of its grains. */
  readonly ofLast: GrainHandling;
  /** Resolves when the step's mean is in `compute`; to be called when all grains are computed. */
  done(): Promise<void>;
}

/**
 * Of a host that is alone: nobody waits for its maxima. So each thread's last gradient stays as it is, in floats, until the threads
 * make the mean of all, piece by piece in their caches (docs/decisions/0036-last-grains-wait-as-floats.md).
 */
export class LoneSum implements SumAhead {
  readonly ofLast = { staysFloat: true };

  /**
   * @param samples of the whole step, to average over.
   * @param signal of the view.
   */
  constructor(
    private readonly compute: Pick<Compute, 'average'>,
    private readonly samples: number,
    private readonly signal: AbortSignal,
  ) {}

  /** @throws what the view ended with: the grains are kept for the next one. Once they are averaged they would not be. */
  async done(): Promise<void> {
    this.signal.throwIfAborted();
    await this.compute.average(this.samples);
  }
}
