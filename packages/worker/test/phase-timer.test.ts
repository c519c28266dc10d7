import { describe, expect, it } from 'vitest';
import { startPhaseTimer } from '../src/phase-timer.js';

describe('a phase timer', () => {
  it('tells waiting from reducing', async () => {
    let nowMs = 0;
    let waitedMs = 7;
    const timer = startPhaseTimer({ nowMs: () => nowMs, after: () => () => {} });
    const waited = () => waitedMs;
    await timer.measureRing(waited, async () => {
      nowMs += 100;
      waitedMs += 30;
    });
    await timer.measure('ringMs', async () => {
      nowMs += 5;
    });
    expect(timer.times()).toMatchObject({ waitMs: 30, ringMs: 75, totalMs: 105 });
  });
});
