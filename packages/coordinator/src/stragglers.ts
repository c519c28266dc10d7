/**
 * Who holds the others up, from the time that each worker needs for its own samples, before the ring. Pure.
 *
 * A straggler is slower for each sample than the others (a worker that merely has one grain more is none), and its step takes
 * longer than theirs, too (where its share of the grains has followed its speed, nobody waits for it). Both are compared with the
 * median of the other workers, on measurements that are smoothed over steps.
 *
 * Hysteresis: named when it has been over `enter` for `steps` steps in a row that took `lastingMs` (or for `longSteps` that took
 * `longMs`), cleared after as much at which
 * it is under `leave`. So a worker at the edge is not named and cleared in turns, a single bad step names nobody, and neither do
 * the slow first steps of a process, however many of them a second holds.
 */
import type { WorkMeasure } from './shares.js';

interface Thresholds {
  /** Time for a sample, as a multiple of the others'. */
  readonly perSample: number;
  /** Time for its own samples of a step, as a multiple of the others'. */
  readonly perStep: number;
}

export interface StragglerOptions {
  readonly enter: Thresholds;
  readonly leave: Thresholds;
  /** Steps in a row, and the time from the first to the last of them, that name or clear a worker. */
  readonly steps: number;
  readonly lastingMs: number;
  /** Where steps are long, fewer of them are as much evidence. */
  readonly longSteps: number;
  readonly longMs: number;
}

export const DEFAULT_STRAGGLERS: StragglerOptions = {
  enter: { perSample: 1.5, perStep: 1.25 },
  leave: { perSample: 1.25, perStep: 1.1 },
  steps: 10,
  lastingMs: 1000,
  longSteps: 3,
  longMs: 15_000,
};

export interface Straggler {
  readonly workerId: string;
  /** Its time for a sample, as a multiple of the others'. */
  readonly factor: number;
  /** What its own samples of a step take longer than those of the others. */
  readonly extraMs: number;
  /** When it was named, and how many steps ago. */
  readonly sinceMs: number;
  readonly steps: number;
}

interface Pace {
  readonly workerId: string;
  readonly msPerSample: number;
  readonly busyMs: number;
  /** Steps measured. */
  readonly seen: number;
  /** Steps in a row that speak for changing what is said of it. */
  readonly streak: number;
  /** When the first of them was. */
  readonly streakSinceMs: number;
  readonly straggler: Straggler | undefined;
}

/** By worker id: whoever had samples in the last step. */
export type StragglerState = ReadonlyMap<string, Pace>;

export interface StragglerChange {
  readonly state: StragglerState;
  readonly entered: readonly Straggler[];
  readonly left: readonly Straggler[];
}

const noStreak = { streak: 0, streakSinceMs: 0 };

/** Weight of the newest step. */
const SMOOTHING = 0.2;

export const noStragglers: StragglerState = new Map();

export const stragglersOf = (state: StragglerState): Straggler[] =>
  [...state.values()].flatMap(({ straggler }) => straggler ?? []);

/** @param measures of all workers of the step; who is not among them any more is forgotten. */
export function afterStep(
  nowMs: number,
  state: StragglerState,
  measures: readonly WorkMeasure[],
  options: StragglerOptions = DEFAULT_STRAGGLERS,
): StragglerChange {
  const paces = new Map(measures.flatMap((measure) => paceOf(state.get(measure.workerId), measure)));
  const next = new Map([...paces].map(([id, pace]) => [id, judge(nowMs, pace, othersThan(id, paces), options)]));
  const appearsIn = (here: StragglerState, there: StragglerState) =>
    stragglersOf(here).filter(({ workerId }) => !there.get(workerId)?.straggler);
  return { state: next, entered: appearsIn(next, paces), left: appearsIn(paces, next) };
}

const othersThan = (workerId: string, paces: StragglerState): Pace[] =>
  [...paces.values()].filter((pace) => pace.workerId !== workerId);

/** Without samples there is nothing to measure. */
function paceOf(before: Pace | undefined, { workerId, samples, busyMs }: WorkMeasure): [string, Pace][] {
  if (samples === 0) return before ? [[workerId, before]] : [];
  const msPerSample = busyMs / samples;
  if (!before) return [[workerId, { workerId, msPerSample, busyMs, seen: 1, ...noStreak, straggler: undefined }]];
  const seen = before.seen + 1;
  // The first steps are the slowest: none of them may weigh for long.
  const smooth = (old: number, now: number) => old + Math.max(SMOOTHING, 1 / seen) * (now - old);
  const smoothed = { msPerSample: smooth(before.msPerSample, msPerSample), busyMs: smooth(before.busyMs, busyMs) };
  return [[workerId, { ...before, ...smoothed, seen }]];
}

function judge(nowMs: number, pace: Pace, others: readonly Pace[], options: StragglerOptions): Pace {
  const { workerId, msPerSample, busyMs, straggler: before } = pace;
  const usualPerSample = medianOf(others.map((other) => other.msPerSample));
  const usualBusyMs = medianOf(others.map((other) => other.busyMs));
  const isOver = ({ perSample, perStep }: Thresholds) =>
    msPerSample > perSample * usualPerSample && busyMs > perStep * usualBusyMs;
  const isAsBefore = isOver(before ? options.leave : options.enter) === (before !== undefined);
  const streak = isAsBefore ? noStreak : longerStreak(nowMs, pace);
  const forMs = nowMs - streak.streakSinceMs;
  const isLong = streak.streak >= options.longSteps && forMs >= options.longMs;
  const isChanging = isLong || (streak.streak >= options.steps && forMs >= options.lastingMs);
  const rest = { ...pace, ...(isChanging ? noStreak : streak) };
  if (isChanging === (before !== undefined)) return { ...rest, straggler: undefined };
  const { sinceMs, steps: stepsBefore } = before ?? { sinceMs: nowMs, steps: 0 };
  const [factor, extraMs] = [msPerSample / usualPerSample, Math.max(0, busyMs - usualBusyMs)];
  return { ...rest, straggler: { workerId, factor, extraMs, sinceMs, steps: before ? stepsBefore + 1 : 0 } };
}

const longerStreak = (nowMs: number, { streak, streakSinceMs }: Pace) => ({
  streak: streak + 1,
  streakSinceMs: streak === 0 ? nowMs : streakSinceMs,
});

/** Infinite for nobody: who is alone holds nobody up. */
function medianOf(numbers: readonly number[]): number {
  if (numbers.length === 0) return Number.POSITIVE_INFINITY;
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
