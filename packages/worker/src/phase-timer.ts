/** Where one step's time goes. Phases that overlap (loading beside computing) count only where they hold the step up. */
import type { Clock, PhaseTimes } from '@coord/protocol';

type Measured = Exclude<keyof PhaseTimes, 'totalMs'>;

export interface PhaseTimer {
  measure<T>(phase: Measured, work: () => Promise<T>): Promise<T>;
  /** Reduces; what `waitedMs` grows by meanwhile counts as waiting. */
  measureRing<T>(waitedMs: () => number, work: () => Promise<T>): Promise<T>;
  times(): PhaseTimes;
}

export function startPhaseTimer(clock: Clock): PhaseTimer {
  const now = () => clock.nowMs();
  const startMs = now();
  const times = { loadMs: 0, computeMs: 0, waitMs: 0, ringMs: 0, optimizerMs: 0 };
  return {
    async measure(phase, work) {
      const before = now();
      try {
        return await work();
      } finally {
        times[phase] += now() - before;
      }
    },
    async measureRing(waitedMs, work) {
      const [before, waitedBefore] = [now(), waitedMs()];
      try {
        return await work();
      } finally {
        const tookMs = now() - before;
        const waited = Math.min(tookMs, waitedMs() - waitedBefore);
        times.waitMs += waited;
        times.ringMs += tookMs - waited;
      }
    },
    times() {
      // Samples are loaded inside the compute phase, which is what is left without them.
      const computeMs = Math.max(0, times.computeMs - times.loadMs);
      return { ...times, computeMs, totalMs: now() - startMs };
    },
  };
}
