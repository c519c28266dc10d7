import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterStep,
  DEFAULT_SHARES,
  dealGrains,
  decideShares,
  initialShares,
  inNewView,
  type Shareholder,
  type ShareState,
} from '../src/shares.js';

const MEMBERS: Shareholder[] = [
  { workerId: 'w1', share: 1 },
  { workerId: 'w2', share: 1 },
];
const { minIntervalMs, minSteps } = DEFAULT_SHARES;

/** `steps` steps in which each worker takes so long for a sample. */
function measured(state: ShareState, msPerSample: Record<string, number>, steps = minSteps): ShareState {
  const measures = Object.entries(msPerSample).map(([workerId, ms]) => ({ workerId, samples: 8, busyMs: 8 * ms }));
  return Array.from({ length: steps }).reduce<ShareState>((at) => afterStep(at, measures), state);
}

const decide = (nowMs: number, state: ShareState, members = MEMBERS, grains = 8) =>
  decideShares(nowMs, state, members, grains, DEFAULT_SHARES);

const largestOf = (counts: readonly number[], speeds: readonly number[]) =>
  Math.max(...counts.map((count, rank) => count / speeds[rank]));

describe('grain shares', () => {
  it('give a worker that is three times as fast three times the grains', () => {
    const decision = decide(minIntervalMs, measured(initialShares(0), { w1: 1, w2: 3 }));
    expect(Object.fromEntries(decision!.grains)).toEqual({ w1: 6, w2: 2 });
    expect(decision!.reason).toBe('grains follow measured speed (w1 4 → 6, w2 4 → 2): 50 % less computing time a step');
  });

  it('stay as they are for equal workers, and for differences that no whole grain can even out', () => {
    expect(decide(minIntervalMs, measured(initialShares(0), { w1: 1, w2: 1 }))).toBeUndefined();
    expect(decide(minIntervalMs, measured(initialShares(0), { w1: 1, w2: 1.2 }))).toBeUndefined();
  });

  it('wait for enough steps, and for the view to be old enough', () => {
    const state = measured(initialShares(0), { w1: 1, w2: 3 });
    expect(decide(minIntervalMs - 1, state)).toBeUndefined();
    expect(decide(minIntervalMs, measured(initialShares(0), { w1: 1, w2: 3 }, minSteps - 1))).toBeUndefined();
    expect(decide(minIntervalMs, inNewView(state, 5))).toBeUndefined();
    expect(decide(minIntervalMs + 5, measured(inNewView(state, 5), { w1: 1, w2: 3 }))).toBeDefined();
  });

  it('wait for few steps where these are long, and follow what these say', () => {
    const { longSteps, longMs } = DEFAULT_SHARES;
    const paces = { w1: 1000, w2: 3000 };
    expect(decide(longMs, measured(initialShares(0), paces, longSteps))).toBeDefined();
    expect(decide(longMs - 1, measured(initialShares(0), paces, longSteps))).toBeUndefined();
    expect(decide(longMs, measured(initialShares(0), paces, longSteps - 1))).toBeUndefined();
    const turnedSlow = measured(measured(initialShares(0), { w1: 1, w2: 1 }), paces, longSteps);
    expect(Object.fromEntries(decide(longMs, turnedSlow)!.grains)).toEqual({ w1: 5, w2: 3 });
  });

  it('settle: after a change to what was measured there is nothing left to change', () => {
    const state = measured(initialShares(0), { w1: 1, w2: 3 });
    const { grains } = decide(minIntervalMs, state)!;
    const after = MEMBERS.map(({ workerId }) => ({ workerId, share: grains.get(workerId) as number }));
    const later = measured(inNewView(state, minIntervalMs), { w1: 1, w2: 3 });
    expect(decide(2 * minIntervalMs, later, after)).toBeUndefined();
  });

  it('do not follow a single bad step', () => {
    const steady = measured(initialShares(0), { w1: 1, w2: 1 });
    expect(decide(minIntervalMs, measured(steady, { w1: 1, w2: 20 }, 1))).toBeUndefined();
  });

  it('come back when a slow worker is fast again, because everybody keeps a grain to be measured by', () => {
    const slow = measured(initialShares(0), { w1: 1, w2: 100 });
    const { grains } = decide(minIntervalMs, slow)!;
    expect(Object.fromEntries(grains)).toEqual({ w1: 7, w2: 1 });
    const members = MEMBERS.map(({ workerId }) => ({ workerId, share: grains.get(workerId) as number }));
    const quick = measured(inNewView(slow, minIntervalMs), { w1: 1, w2: 1 }, 60);
    expect(Object.fromEntries(decide(2 * minIntervalMs, quick, members)!.grains)).toEqual({ w1: 4, w2: 4 });
  });

  it('are never decided while somebody is not measured', () => {
    expect(decide(minIntervalMs, measured(initialShares(0), { w1: 1 }))).toBeUndefined();
  });

  it('deal every grain, and no exchange of one grain would end the step sooner', () => {
    const speeds = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(speeds, fc.integer({ min: 6, max: 64 }), (speed, grains) => {
        const counts = dealGrains(speed, grains);
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(grains);
        const time = largestOf(counts, speed);
        counts.forEach((count, from) => {
          counts.forEach((_, to) => {
            if (from === to || count <= 1) return;
            const other = counts.map((n, rank) => n - Number(rank === from) + Number(rank === to));
            expect(largestOf(other, speed)).toBeGreaterThanOrEqual(time * (1 - 1e-12));
          });
        });
      }),
    );
  });
});
