import { describe, expect, it } from 'vitest';
import { inView, OPTIONS, Stage } from './membership-stage.js';

describe('a broken ring', () => {
  it('waits for the loss that broke it to be noticed', () => {
    const stage = inView('w1', 'w2', 'w3').ringFails('w1', 'w2').pass(100);
    expect(stage.views).toHaveLength(1);
    stage.do({ type: 'lost', workerId: 'w2', reason: 'killed' });
    expect(stage.members).toEqual(['w1', 'w3']);
    expect(stage.pass(1000, ['w1', 'w3']).views).toHaveLength(2);
  });

  it('is formed again with the same members after the grace', () => {
    const stage = inView('w1', 'w2', 'w3').ringFails('w1').pass(199);
    expect(stage.views).toHaveLength(1);
    expect(stage.pass(1).members).toEqual(['w1', 'w2', 'w3']);
    expect(stage.views).toHaveLength(2);
  });

  it('is formed again at once when every member has reported', () => {
    const stage = inView('w1', 'w2').ringFails('w1').ringFails('w2');
    expect(stage.views).toHaveLength(2);
  });

  it('is formed again more and more slowly while it keeps failing', () => {
    const stage = inView('w1', 'w2');
    stage.ringFails('w1').ringFails('w2');
    stage.ringFails('w1').ringFails('w2').pass(399);
    expect(stage.views).toHaveLength(2);
    expect(stage.pass(1).views).toHaveLength(3);
    stage.ringFails('w1').pass(799);
    expect(stage.views).toHaveLength(3);
    expect(stage.pass(1).views).toHaveLength(4);
  });

  it('of an old view means nothing', () => {
    const stage = inView('w1', 'w2', 'w3').do({ type: 'lost', workerId: 'w3', reason: 'killed' });
    stage.ringFails('w1', undefined, 1).pass(1000, ['w1', 'w2']);
    expect(stage.views).toHaveLength(2);
  });

  /** Rounds in which the others point at one member, until something else than another try is decided. */
  const breaks = (stage: Stage, suspect = 'w2', alive = ['w1', 'w2', 'w3']): Stage => {
    for (let round = 0; round < 3; round++) {
      for (const id of alive) if (id !== suspect) stage.ringFails(id, suspect);
      stage.pass(1700, alive);
    }
    return stage;
  };
  const all = ['w1', 'w2', 'w3'];

  it('goes on without the one suspect of three failures in a row, and takes it back after a pause', () => {
    const stage = breaks(inView(...all));
    expect(stage.expelled).toEqual([]);
    expect(stage.members).toEqual(['w1', 'w3']);
    expect(stage.views.at(-1)?.reason).toBe('w2 (n-w2) broke the ring 3 times in a row: it pauses for 5 s');
    expect(stage.pass(3000, all).members).toEqual(['w1', 'w3']);
    expect(stage.pass(2000, all).members).toEqual(all);
  });

  it('expels a worker that breaks it again after every pause, which grow', () => {
    const stage = breaks(inView(...all)).pass(5000, all);
    expect(breaks(stage).members).toEqual(['w1', 'w3']);
    expect(stage.pass(8000, all).members).toEqual(['w1', 'w3']);
    expect(stage.pass(2000, all).members).toEqual(all);
    expect(breaks(stage).expelled).toEqual(['w2']);
    expect(stage.members).toEqual(['w1', 'w3']);
  });

  it('knows the pauses of a worker that comes back under another id', () => {
    const stage = breaks(inView(...all)).do({ type: 'lost', workerId: 'w2', reason: 'closed' });
    const returns = { workerId: 'w2', generation: 1 };
    stage.do({ type: 'joined', workerId: 'w4', name: 'n-w2', returns }).ready('w4').pass(1000, ['w1', 'w3', 'w4']);
    expect(stage.members).toEqual(['w1', 'w3', 'w4']);
    breaks(stage, 'w4', ['w1', 'w3', 'w4']);
    expect(stage.views.at(-1)?.reason).toContain('pauses for 10 s');
  });

  it('forgets pauses of a worker that has been good for long', () => {
    const stage = breaks(inView(...all)).pass(5000, all);
    stage.do({ type: 'step-reported', workerId: 'w1', generation: stage.state.generation });
    stage.pass(61_000, all);
    stage.do({ type: 'step-reported', workerId: 'w1', generation: stage.state.generation });
    expect(stage.state.pauses.size).toBe(0);
    breaks(stage);
    expect(stage.views.at(-1)?.reason).toContain('pauses for 5 s');
  });

  it('pauses and expels it also where the others are too few without it: they wait, and say for whom', () => {
    const stage = new Stage({ ...OPTIONS, floorWorkers: 3 })
      .join(...all)
      .ready(...all)
      .pass(300);
    const views = breaks(stage).views.length;
    expect(stage.state.members).toEqual([]);
    expect(stage.decisions.at(-1)).toMatchObject({
      type: 'wait',
      present: 2,
      needed: 3,
      reason: 'w2 (n-w2) broke the ring 3 times in a row: it pauses for 5 s; waiting for workers: 2 of 3 are ready',
    });
    expect(stage.pass(3000, all).views).toHaveLength(views);
    expect(stage.pass(2000, all).state.members).toEqual(all);
    expect(breaks(breaks(stage).pass(10_000, all)).expelled).toEqual(['w2']);
    expect(stage.decisions.at(-1)).toMatchObject({
      type: 'wait',
      reason: expect.stringMatching(/^w2 .* again after 2 pauses; waiting for workers: 2 of 3 are ready$/),
    });
    // Somebody else in its place, and it goes on.
    expect(stage.join('w4').ready('w4').pass(300, ['w1', 'w3', 'w4']).state.members).toEqual(['w1', 'w3', 'w4']);
  });

  it('suspects the one member that does not even report', () => {
    const four = ['w1', 'w2', 'w3', 'w4'];
    const stage = inView(...four);
    for (let round = 0; round < 3; round++) {
      stage.ringFails('w1').ringFails('w2').ringFails('w4').pass(1700, four);
    }
    expect(stage.members).toEqual(['w1', 'w2', 'w4']);
  });

  it('forgives a suspect once a step is completed', () => {
    const stage = inView('w1', 'w2', 'w3');
    for (let round = 0; round < 5; round++) {
      stage.ringFails('w1', 'w2').pass(7000, ['w1', 'w2', 'w3']);
      stage.do({ type: 'step-reported', workerId: 'w1', generation: stage.state.generation });
    }
    expect(stage.expelled).toEqual([]);
  });

  it('leaves nobody out where as many point at one as at another, whoever reports first', () => {
    for (const order of [all, [...all].reverse()]) {
      const stage = inView(...all);
      const accused: Record<string, string | undefined> = { w1: 'w2', w2: 'w1', w3: undefined };
      for (let round = 0; round < 3; round++) {
        for (const id of order) stage.ringFails(id, accused[id]);
        stage.pass(1700, all);
      }
      expect(stage.members).toEqual(all);
      expect(stage.expelled).toEqual([]);
    }
  });

  it('expels nobody where two accuse each other', () => {
    const stage = inView('w1', 'w2');
    for (let round = 0; round < 6; round++) stage.ringFails('w1', 'w2').ringFails('w2', 'w1').pass(7000, ['w1', 'w2']);
    expect(stage.expelled).toEqual([]);
  });
});
