import type { ScheduleSpec } from '@coord/protocol';
import { cosineOfPi, powerOf } from './exact-math.js';

/**
 * Learning rate of the update that follows `step` completed ones: a pure function with the same bits on every machine.
 *
 * Warm-up rises linearly and reaches `baseRate` with update number `warmupSteps`; the schedule's own clock starts after it.
 * Cosine: I. Loshchilov and F. Hutter, "SGDR", ICLR 2017, one half wave without restarts.
 *
 * @param totalSteps updates of the whole run; the end of a cosine that names no `decaySteps`.
 */
export function learningRateAt(schedule: ScheduleSpec, baseRate: number, step: number, totalSteps: number): number {
  if (step < schedule.warmupSteps) return (baseRate * (step + 1)) / schedule.warmupSteps;
  return baseRate * decayFactor(schedule, step - schedule.warmupSteps, totalSteps - schedule.warmupSteps);
}

function decayFactor(schedule: ScheduleSpec, step: number, totalSteps: number): number {
  switch (schedule.name) {
    case 'constant':
      return 1;
    case 'step':
      return powerOf(schedule.factor, Math.floor(step / schedule.everySteps));
    case 'exponential':
      return powerOf(schedule.decayPerStep, step);
    case 'cosine':
      return cosineFactor(schedule.floor, step / (schedule.decaySteps ?? Math.max(totalSteps, 1)));
    default:
      return schedule satisfies never;
  }
}

/** From 1 at progress 0 to `floor` at progress 1 and after it. */
const cosineFactor = (floor: number, progress: number): number =>
  progress >= 1 ? floor : floor + (1 - floor) * 0.5 * (1 + cosineOfPi(progress));
