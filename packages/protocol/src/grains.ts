/**
 * Grains: which samples a step consumes, cut how. Pure, so that everybody knows who computes what from (view, step).
 *
 * An epoch is a sequence of `samples` positions (which sample stands at a position is the sample order's affair). Step k of
 * an epoch takes the next grains × grainSize positions; the epoch's last step takes what is left: fewer grains, the last of
 * them possibly smaller. So every sample is consumed exactly once an epoch, and nothing is padded.
 */
export interface BatchPlan {
  /** Samples of one epoch. */
  readonly samples: number;
  readonly grains: number;
  readonly grainSize: number;
}

export interface Grain {
  /** Number inside its step, from 0. */
  readonly index: number;
  readonly epoch: number;
  /** First position in the epoch's sample order. */
  readonly position: number;
  readonly count: number;
}

export interface StepPlan {
  /** Optimizer updates completed before this one. */
  readonly step: number;
  readonly epoch: number;
  readonly samples: number;
  readonly grains: readonly Grain[];
  /** True when the epoch is complete after this step. */
  readonly endsEpoch: boolean;
}

export const globalBatchOf = (plan: BatchPlan): number => plan.grains * plan.grainSize;

export const stepsPerEpoch = (plan: BatchPlan): number => Math.ceil(plan.samples / globalBatchOf(plan));

export function planStep(plan: BatchPlan, step: number): StepPlan {
  const perEpoch = stepsPerEpoch(plan);
  const epoch = Math.floor(step / perEpoch);
  const first = (step - epoch * perEpoch) * globalBatchOf(plan);
  const samples = Math.min(globalBatchOf(plan), plan.samples - first);
  const grains: Grain[] = [];
  for (let taken = 0; taken < samples; taken += plan.grainSize) {
    const count = Math.min(plan.grainSize, samples - taken);
    grains.push({ index: grains.length, epoch, position: first + taken, count });
  }
  return { step, epoch, samples, grains, endsEpoch: first + samples === plan.samples };
}

/** Steps of the whole run: `epochs` full epochs, cut short by `maxSteps` where that is given. */
export function totalSteps(plan: BatchPlan, epochs: number, maxSteps: number | undefined): number {
  const all = epochs * stepsPerEpoch(plan);
  return maxSteps === undefined ? all : Math.min(all, maxSteps);
}
