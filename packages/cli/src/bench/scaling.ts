/** Scaling measurements: which runs to do, and what their numbers come to. Pure. */
import type { PhaseTimes } from '@coord/protocol';
import { median, spread } from './statistics.js';
import { PHASE_KEYS, type RunMeasurement } from './step-watch.js';

/**
 * `strong`: the same global batch on more workers. `weak`: as many grains for each worker, so the batch grows with them.
 */
export type ScalingKind = 'strong' | 'weak';

export interface ScalingCase {
  readonly kind: ScalingKind;
  readonly workers: number;
  readonly grains: number;
}

export interface ScalingResult extends ScalingCase {
  readonly globalBatch: number;
  /** Median over repeats. */
  readonly samplesPerSecond: number;
  /** Half the range over repeats, as a share of the median. */
  readonly spread: number;
  /** Rate over (workers × rate of the fewest workers per worker), 1 is perfect. */
  readonly efficiency: number;
  readonly repeats: number;
  /** Medians over repeats of the mean a step and worker. */
  readonly times: PhaseTimes;
}

/** Both kinds for every number of workers. */
export function scalingCases(workers: readonly number[], grains: number): ScalingCase[] {
  const strong = workers.map((count): ScalingCase => ({ kind: 'strong', workers: count, grains }));
  const weak = workers.map((count): ScalingCase => ({ kind: 'weak', workers: count, grains: grains * count }));
  return [...strong, ...weak];
}

export function summarise(
  measured: readonly { readonly of: ScalingCase; readonly runs: readonly RunMeasurement[] }[],
  grainSize: number,
): ScalingResult[] {
  const rateOf = (runs: readonly RunMeasurement[]) => median(runs.map((run) => run.samplesPerSecond));
  return measured.map(({ of, runs }) => {
    const base = measured.find((other) => other.of.kind === of.kind) ?? { of, runs };
    const samplesPerSecond = rateOf(runs);
    return {
      ...of,
      globalBatch: of.grains * grainSize,
      samplesPerSecond,
      spread: spread(runs.map((run) => run.samplesPerSecond)),
      efficiency: samplesPerSecond / of.workers / (rateOf(base.runs) / base.of.workers),
      repeats: runs.length,
      times: medianTimes(runs),
    };
  });
}

function medianTimes(runs: readonly RunMeasurement[]): PhaseTimes {
  const entries = PHASE_KEYS.map((key) => [key, median(runs.map((run) => run.times[key]))] as const);
  return Object.fromEntries(entries) as unknown as PhaseTimes;
}
