/** This machine's clocks. Time-outs and heartbeats stand on the monotonic one, logs on the wall clock. */
import type { ClockReport } from './report.js';

const READINGS = 20_000;

export interface Clocks {
  monotonicMs(): number;
  wallMs(): number;
}

const SYSTEM: Clocks = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

/** Starts watching; the returned function ends that and says what was seen. */
export function watchClock(clocks: Clocks = SYSTEM): () => ClockReport {
  const [monotonicStartMs, wallStartMs] = [clocks.monotonicMs(), clocks.wallMs()];
  return () => {
    const monotonicMs = clocks.monotonicMs() - monotonicStartMs;
    const wallMs = clocks.wallMs() - wallStartMs;
    return { ...readMonotonic(clocks), wallClockJumpMs: Math.round(wallMs - monotonicMs) };
  };
}

/** Reads the clock many times in a row: does it ever go back, and how small is a step of it? */
function readMonotonic({ monotonicMs }: Clocks): Pick<ClockReport, 'isMonotonic' | 'resolutionMs'> {
  let isMonotonic = true;
  let resolutionMs = Number.POSITIVE_INFINITY;
  let last = monotonicMs();
  for (let reading = 0; reading < READINGS; reading++) {
    const now = monotonicMs();
    if (now < last) isMonotonic = false;
    if (now > last) resolutionMs = Math.min(resolutionMs, now - last);
    last = now;
  }
  return { isMonotonic, resolutionMs };
}
