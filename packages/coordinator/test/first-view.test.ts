import { describe, expect, it } from 'vitest';
import { initialMembership, isAwaitingReturns } from '../src/membership/state.js';
import { OPTIONS, Stage } from './membership-stage.js';

describe('the first view', () => {
  it('waits for the minimum and says so', () => {
    const stage = new Stage().join('w1').ready('w1').pass(4000, ['w1']);
    expect(stage.views).toEqual([]);
    expect(stage.decisions.at(-1)).toMatchObject({ type: 'wait', present: 1, needed: 2 });
    expect(stage.reasons.at(-1)).toContain('1 of 2');
  });

  it('is formed one join window after the first worker of it was ready', () => {
    const stage = new Stage().join('w1', 'w2', 'w3').ready('w1').pass(200).ready('w3').pass(99);
    expect(stage.views).toEqual([]);
    stage.pass(1);
    expect(stage.members).toEqual(['w1', 'w3']);
    expect(stage.views[0].generation).toBe(1);
  });

  it('orders the ring by joining, not by readiness', () => {
    const stage = new Stage().join('w1', 'w2', 'w3').ready('w3', 'w1', 'w2').pass(300);
    expect(stage.members).toEqual(['w1', 'w2', 'w3']);
  });

  it('says a wait once for every number of workers', () => {
    const stage = new Stage().join('w1').ready('w1').pass(60_000, ['w1']);
    const waits = stage.decisions.filter(({ type }) => type === 'wait');
    expect(waits.map((wait) => wait.type === 'wait' && wait.present)).toEqual([0, 1]);
  });
});

describe('the first view after the death of an earlier coordinator', () => {
  const back = (workerId: string, generation = 3) => ({ workerId, generation });

  /** w1 and w2 were in view 3. */
  const after = (options = OPTIONS): Stage => {
    const stage = new Stage(options);
    stage.state = initialMembership(0, { generation: 3, joined: 2, awaited: ['w1', 'w2'] }, 6000);
    return stage;
  };
  const returning = (stage: Stage, workerId: string, was: string, generation?: number): Stage =>
    stage.do({ type: 'joined', workerId, name: was, returns: back(was, generation) }).ready(workerId);

  it('takes all that were in its last one, as soon as they are back', () => {
    const stage = returning(after().pass(5000), 'w3', 'w1').pass(900, ['w3']);
    expect(stage.decisions).toEqual([]);
    returning(stage, 'w4', 'w2');
    expect(stage.members).toEqual(['w3', 'w4']);
    expect(stage.views[0].generation).toBe(4);
  });

  it('takes those that are back when the window closes, even fewer than the minimum', () => {
    const stage = returning(after({ ...OPTIONS, floorWorkers: 1 }), 'w3', 'w1').pass(6000, ['w3']);
    expect(stage.members).toEqual(['w3']);
    expect(isAwaitingReturns(stage.state)).toBe(false);
  });

  it('takes newcomers along that became ready within the window', () => {
    const stage = returning(after().join('w3').ready('w3').pass(1000, ['w3']), 'w4', 'w1');
    expect(stage.views).toEqual([]);
    expect(returning(stage, 'w5', 'w2').members).toEqual(['w3', 'w4', 'w5']);
  });

  it('waits for the minimum like any first view when nobody is back', () => {
    const stage = after().join('w3').ready('w3').pass(6000, ['w3']);
    expect(stage.views).toEqual([]);
    expect(stage.decisions.at(-1)).toMatchObject({ type: 'wait', present: 1, needed: 2 });
  });

  it('passes a generation that a worker acts on and a torn ledger has lost', () => {
    const stage = returning(after(), 'w3', 'w1', 5);
    expect(returning(stage, 'w4', 'w2', 5).views[0].generation).toBe(6);
  });

  it('does not follow a worker to a generation that cannot be', () => {
    const stage = returning(after(), 'w3', 'w1', 2 ** 40);
    expect(returning(stage, 'w4', 'w2').views[0].generation).toBe(4);
  });
});
