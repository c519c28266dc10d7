/** Measures a run from its step events: warm-up left out, rate over the rest, mean phase times of the workers. */
import type { CoordinatorEvent, StepEvent } from '@coord/coordinator';
import type { PhaseTimes } from '@coord/protocol';

export interface RunMeasurement {
  readonly samplesPerSecond: number;
  /** Mean over measured steps and workers, in milliseconds. */
  readonly times: PhaseTimes;
}

export interface StepWatch {
  see(event: CoordinatorEvent): void;
  /** @throws RangeError when the run had no step after the warm-up. */
  result(): RunMeasurement;
}

export const PHASE_KEYS = ['loadMs', 'computeMs', 'waitMs', 'ringMs', 'optimizerMs', 'totalMs'] as const;

/** @param nowMs a monotonic clock */
export function createStepWatch(warmupSteps: number, nowMs: () => number): StepWatch {
  let startMs: number | undefined;
  let endMs = 0;
  const measured: StepEvent[] = [];
  return {
    see(event) {
      if (event.event !== 'step' || event.step < warmupSteps) return;
      if (startMs === undefined) {
        // The clock starts where the last step of the warm-up ends.
        startMs = nowMs();
        return;
      }
      measured.push(event);
      endMs = nowMs();
    },
    result() {
      if (startMs === undefined || measured.length === 0) throw new RangeError('the run ended before its warm-up did');
      const samples = measured.reduce((sum, step) => sum + step.samples, 0);
      return { samplesPerSecond: samples / ((endMs - startMs) / 1000), times: meanTimes(measured) };
    },
  };
}

function meanTimes(steps: readonly StepEvent[]): PhaseTimes {
  const all = steps.flatMap((step) => Object.values(step.times));
  const mean = (key: keyof PhaseTimes) => all.reduce((sum, times) => sum + times[key], 0) / Math.max(1, all.length);
  const entries = PHASE_KEYS.map((key) => [key, mean(key)] as const);
  return Object.fromEntries(entries) as unknown as PhaseTimes;
}
