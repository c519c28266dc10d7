import { describe, expect, it } from 'vitest';
import type { WorkMeasure } from '../src/shares.js';
import { afterStep, DEFAULT_STRAGGLERS, noStragglers, type StragglerState, stragglersOf } from '../src/stragglers.js';

const { steps: STEPS, lastingMs } = DEFAULT_STRAGGLERS;
const STEP_MS = 200;

/** Time for a sample in ms by worker; everybody has as many samples as `samples` says. */
type Paces = Readonly<Record<string, number>>;

const measuresOf = (paces: Paces, samples: Paces = {}): WorkMeasure[] =>
  Object.entries(paces).map(([workerId, ms]) => {
    const own = samples[workerId] ?? 8;
    return { workerId, samples: own, busyMs: own * ms };
  });

/** Plays a sequence of steps. @returns who entered (+) and left (-) after which step, from 1, and the last state. */
function play(
  sequence: readonly Paces[],
  samples?: Paces,
  stepMs = STEP_MS,
): { said: string[]; state: StragglerState } {
  const said: string[] = [];
  let state = noStragglers;
  sequence.forEach((paces, at) => {
    const change = afterStep(at * stepMs, state, measuresOf(paces, samples));
    state = change.state;
    said.push(...change.entered.map(({ workerId }) => `+${workerId} ${at + 1}`));
    said.push(...change.left.map(({ workerId }) => `-${workerId} ${at + 1}`));
  });
  return { said, state };
}

const times = (count: number, paces: Paces): Paces[] => Array.from({ length: count }, () => paces);
const even = { w1: 1, w2: 1, w3: 1 };
const slow = { w1: 1, w2: 3, w3: 1 };

describe('stragglers', () => {
  it('are named once, after enough steps in a row', () => {
    expect(play(times(STEPS - 1, slow)).said).toEqual([]);
    expect(play(times(100, slow)).said).toEqual([`+w2 ${STEPS}`]);
  });

  it('are named after fewer steps where these are long', () => {
    const { longSteps, longMs } = DEFAULT_STRAGGLERS;
    const stepMs = longMs / (longSteps - 1);
    expect(play(times(longSteps, slow), undefined, stepMs).said).toEqual([`+w2 ${longSteps}`]);
    expect(play(times(longSteps, slow), undefined, stepMs - 1).said).toEqual([]);
    expect(play(times(longSteps - 1, slow), undefined, longMs).said).toEqual([]);
  });

  it('are told with how much slower they are, what a step loses by it, and since when', () => {
    const { state } = play(times(STEPS + 5, slow));
    const [straggler] = stragglersOf(state);
    expect(straggler).toMatchObject({ workerId: 'w2', sinceMs: (STEPS - 1) * STEP_MS, steps: 5 });
    expect(straggler.factor).toBeCloseTo(3);
    expect(straggler.extraMs).toBeCloseTo(16);
  });

  it('are cleared once, after enough steps at which they keep up', () => {
    const { said, state } = play([...times(20, slow), ...times(40, even)]);
    expect(said).toHaveLength(2);
    const clearedAfter = Number(said[1].split(' ')[1]) - 20;
    expect(said[1]).toMatch(/^-w2 /);
    expect(clearedAfter).toBeGreaterThan(STEPS);
    expect(stragglersOf(state)).toEqual([]);
  });

  it('are not named for bad steps now and then', () => {
    const sequence = Array.from({ length: 200 }, (_, at) => (at % 8 === 0 ? { w1: 1, w2: 4, w3: 1 } : even));
    expect(play(sequence).said).toEqual([]);
  });

  it('are not named for the first steps of a process, however many of them a second holds', () => {
    const stepMs = 5;
    const slowFor = (ms: number) => [...times(Math.ceil(ms / stepMs), slow), ...times((2 * lastingMs) / stepMs, even)];
    expect(play(slowFor(lastingMs / 2), undefined, stepMs).said).toEqual([]);
    expect(play(slowFor(lastingMs * 2), undefined, stepMs).said).toHaveLength(2);
  });

  it('are not named and cleared in turns at either threshold', () => {
    const wobble = (low: number, high: number) =>
      Array.from({ length: 400 }, (_, at) => ({ w1: 1, w2: at % 30 < 15 ? low : high, w3: 1 }));
    expect(play(wobble(1.3, 1.7)).said).toHaveLength(1);
    expect(play(wobble(1.1, 1.45)).said).toEqual([]);
  });

  it('are none that are slow by nature, once their share has followed their speed', () => {
    expect(play(times(100, slow), { w1: 12, w2: 4, w3: 12 }).said).toEqual([]);
  });

  it('are none that merely have one grain more', () => {
    expect(play(times(100, even), { w1: 8, w2: 16, w3: 8 }).said).toEqual([]);
  });

  it('are none that have nothing to do, or are alone', () => {
    expect(play(times(100, slow), { w1: 8, w2: 0, w3: 8 }).said).toEqual([]);
    expect(play(times(100, { w1: 5 })).said).toEqual([]);
  });

  it('are forgotten when they are gone', () => {
    const { said, state } = play([...times(20, slow), ...times(20, { w1: 1, w3: 1 })]);
    expect(said).toEqual([`+w2 ${STEPS}`]);
    expect(stragglersOf(state)).toEqual([]);
  });

  it('may be one of two, and several at once', () => {
    expect(play(times(20, { w1: 1, w2: 2 })).said).toEqual([`+w2 ${STEPS}`]);
    const several = { w1: 1, w2: 1, w3: 1, w4: 1, w5: 4, w6: 5 };
    expect(play(times(20, several)).said).toEqual([`+w5 ${STEPS}`, `+w6 ${STEPS}`]);
  });
});
