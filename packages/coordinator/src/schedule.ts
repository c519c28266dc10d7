/** What the run's specification says about a step number: its epoch, and whether a checkpoint is due after it. Pure. */
import { type BatchPlan, planStep, type RunSpec, stepsPerEpoch, totalSteps } from '@coord/protocol';

export const batchPlanOf = (run: RunSpec): BatchPlan => ({ samples: run.data.train.samples, ...run.batch });

export const totalStepsOf = (run: RunSpec): number => totalSteps(batchPlanOf(run), run.epochs, run.maxSteps);

/** Epochs completed after `step` updates. */
export const epochsCompleted = (run: RunSpec, step: number): number =>
  Math.floor(step / stepsPerEpoch(batchPlanOf(run)));

/** Epoch (from 0) of the step that made the count of completed steps `step`. */
export const epochOf = (run: RunSpec, step: number): number => planStep(batchPlanOf(run), step - 1).epoch;

/** Where the step after `step` starts: its epoch and its first position in that epoch's order. */
export function cursorAfter(run: RunSpec, step: number): { readonly epoch: number; readonly position: number } {
  const { epoch, grains } = planStep(batchPlanOf(run), step);
  return { epoch, position: grains[0].position };
}

export function isCheckpointDue(run: RunSpec, step: number): boolean {
  const { everySteps, everyEpochs } = run.checkpoint;
  if (everySteps > 0 && step % everySteps === 0) return true;
  const { epoch, endsEpoch } = planStep(batchPlanOf(run), step - 1);
  return everyEpochs > 0 && endsEpoch && (epoch + 1) % everyEpochs === 0;
}
