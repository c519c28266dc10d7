/**
 * Grain shares that follow measured speed, so that fast and slow machines come to the ring at the same time. Pure: what is
 * measured goes in, and a better division comes out, or nothing. Which worker computes a grain never changes its bits.
 *
 * A step takes as long as its slowest worker: max over workers of (its grains ÷ its speed). Grains are alike, so dealing them
 * out one by one, each to the worker that would be done with it first, makes that maximum as small as it can be.
 *
 * Hysteresis: a new division costs a new view. It is made only when it would shorten the computing by `minGain`, on the
 * measurements of `minSteps` steps in the view in force (where steps are long, of `longSteps` in `longMs`), and not before that view is `minIntervalMs` old. So shares change at
 * most once every `minIntervalMs`, and two divisions that are equally good never alternate.
 */
import { assignByShare } from '@coord/protocol';
import type { StepEvent } from './events.js';

export interface ShareOptions {
  readonly minIntervalMs: number;
  readonly minSteps: number;
  /** So many steps are enough, too, when they have taken so long. */
  readonly longSteps: number;
  readonly longMs: number;
  /** Share of the computing time that a change must save, 0 to 1. */
  readonly minGain: number;
}

export const DEFAULT_SHARES: ShareOptions = {
  minIntervalMs: 10_000,
  minSteps: 20,
  longSteps: 3,
  longMs: 30_000,
  minGain: 0.1,
};

/** What one worker did in one step. */
export interface WorkMeasure {
  readonly workerId: string;
  readonly samples: number;
  /** Time for its own samples, before the ring. */
  readonly busyMs: number;
}

/** What a settled step has measured. */
export const measuresOf = ({ times, ownSamples }: Pick<StepEvent, 'times' | 'ownSamples'>): WorkMeasure[] =>
  Object.entries(times).map(([workerId, { loadMs, computeMs }]) => ({
    workerId,
    samples: ownSamples[workerId] ?? 0,
    busyMs: loadMs + computeMs,
  }));

export interface ShareState {
  /** Samples a millisecond by worker, smoothed over steps. */
  readonly speeds: ReadonlyMap<string, number>;
  /** Steps measured in the view in force. */
  readonly steps: number;
  readonly viewSinceMs: number;
}

export interface Shareholder {
  readonly workerId: string;
  readonly share: number;
}

export interface ShareDecision {
  /** Grains of a full step by worker. */
  readonly grains: ReadonlyMap<string, number>;
  readonly reason: string;
}

/** Weight of the newest step: a worker that turns slow shows within ten steps, a single bad step does not. */
const SMOOTHING = 0.1;
/** A step of many seconds is no accident: it weighs more. */
const LONGEST_SMOOTHING = 0.5;
const LONG_STEP_MS = 20_000;

const weightOf = (busyMs: number): number => Math.min(LONGEST_SMOOTHING, Math.max(SMOOTHING, busyMs / LONG_STEP_MS));

export const initialShares = (nowMs: number): ShareState => ({ speeds: new Map(), steps: 0, viewSinceMs: nowMs });

/** A view was formed: whatever its cause, measuring starts again, on what is known of its members. */
export const inNewView = ({ speeds }: ShareState, nowMs: number): ShareState => ({
  speeds,
  steps: 0,
  viewSinceMs: nowMs,
});

export function afterStep(state: ShareState, measures: readonly WorkMeasure[]): ShareState {
  const speeds = new Map(state.speeds);
  for (const { workerId, samples, busyMs } of measures) {
    // Without grains there is nothing to measure.
    if (samples === 0 || busyMs <= 0) continue;
    const before = speeds.get(workerId);
    const now = samples / busyMs;
    speeds.set(workerId, before === undefined ? now : before + weightOf(busyMs) * (now - before));
  }
  return { ...state, speeds, steps: state.steps + 1 };
}

/** @param grains of a full step. @returns undefined while the division is to stay as it is. */
export function decideShares(
  nowMs: number,
  state: ShareState,
  members: readonly Shareholder[],
  grains: number,
  options: ShareOptions,
): ShareDecision | undefined {
  const viewMs = nowMs - state.viewSinceMs;
  const isLong = state.steps >= options.longSteps && viewMs >= options.longMs;
  if (viewMs < options.minIntervalMs || (state.steps < options.minSteps && !isLong)) return undefined;
  const speeds = members.map(({ workerId }) => state.speeds.get(workerId));
  if (members.length < 2 || !speeds.every((speed) => speed !== undefined)) return undefined;
  const present = countsOf(members, grains);
  const better = dealGrains(speeds, grains);
  const gain = 1 - makespan(better, speeds) / makespan(present, speeds);
  if (!(gain >= options.minGain)) return undefined;
  const dealt = new Map(members.map(({ workerId }, rank) => [workerId, better[rank]]));
  return { grains: dealt, reason: reasonOf(members, present, better, gain) };
}

const countsOf = (members: readonly Shareholder[], grains: number): number[] => {
  const shares = members.map(({ share }) => share);
  return assignByShare([...Array(grains).keys()], shares, 0).map((mine) => mine.length);
};

/**
 * Everybody keeps one grain while there are enough, or nobody would notice when it becomes fast again.
 *
 * @param speeds at least one; shares must be positive, so with too few grains for all the division stays even.
 */
export function dealGrains(speeds: readonly number[], grains: number): number[] {
  const counts = speeds.map(() => 1);
  for (let dealt = counts.length; dealt < grains; dealt++) {
    const ends = counts.map((count, rank) => (count + 1) / speeds[rank]);
    counts[ends.indexOf(Math.min(...ends))]++;
  }
  return counts;
}

/** Relative time until the last worker is done. */
const makespan = (counts: readonly number[], speeds: readonly number[]): number =>
  Math.max(...counts.map((count, rank) => count / speeds[rank]));

function reasonOf(
  members: readonly Shareholder[],
  present: readonly number[],
  better: readonly number[],
  gain: number,
): string {
  const changes = members
    .map(({ workerId }, rank) => ({ workerId, from: present[rank], to: better[rank] }))
    .filter(({ from, to }) => from !== to)
    .slice(0, 8)
    .map(({ workerId, from, to }) => `${workerId} ${from} → ${to}`);
  return `grains follow measured speed (${changes.join(', ')}): ${Math.round(gain * 100)} % less computing time a step`;
}
