import { viewSchema } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENDPOINT, inView, OPTIONS, Stage } from './membership-stage.js';

describe('a view', () => {
  it('takes newcomers in batches', () => {
    const stage = inView('w1', 'w2').join('w3', 'w4', 'w5').ready('w3').pass(100).ready('w4').pass(100).ready('w5');
    stage.pass(100);
    expect(stage.views.map(({ generation }) => generation)).toEqual([1, 2]);
    expect(stage.members).toEqual(['w1', 'w2', 'w3', 'w4', 'w5']);
    expect(stage.views[1].reason).toContain('w3 (n-w3), w4 (n-w4), w5 (n-w5) are ready');
  });

  it('is replaced at once when a member is lost', () => {
    const stage = inView('w1', 'w2', 'w3').do({ type: 'lost', workerId: 'w2', reason: 'connection reset' });
    expect(stage.members).toEqual(['w1', 'w3']);
    expect(stage.views[1].reason).toContain('connection reset');
  });

  it('takes waiting newcomers along when a member is lost', () => {
    const stage = inView('w1', 'w2', 'w3')
      .join('w4')
      .ready('w4')
      .do({ type: 'left', workerId: 'w1', reason: 'drained' });
    expect(stage.members).toEqual(['w2', 'w3', 'w4']);
    expect(stage.pass(1000).views).toHaveLength(2);
  });

  it('does not change when a worker is lost that was not in it', () => {
    const stage = inView('w1', 'w2').join('w3').do({ type: 'lost', workerId: 'w3', reason: 'gone' });
    expect(stage.views).toHaveLength(1);
    expect(stage.reasons.at(-1)).toContain('w3');
  });

  it('goes on with fewer workers than the first view needed, down to the floor', () => {
    const stage = new Stage({ ...OPTIONS, minWorkers: 3, floorWorkers: 1 }).join('w1', 'w2', 'w3').ready('w1', 'w2');
    expect(stage.pass(1000, ['w3']).views).toEqual([]);
    stage.ready('w3').pass(300).do({ type: 'lost', workerId: 'w1', reason: 'killed' });
    expect(stage.members).toEqual(['w2', 'w3']);
    expect(stage.do({ type: 'lost', workerId: 'w2', reason: 'killed' }).members).toEqual(['w3']);
  });

  it('ends below the floor, and comes back with the next worker', () => {
    const stage = inView('w1', 'w2').do({ type: 'lost', workerId: 'w1', reason: 'killed' });
    expect(stage.decisions.at(-1)).toMatchObject({ type: 'wait', present: 1, needed: 2 });
    expect(stage.state.members).toEqual([]);
    stage.join('w3').ready('w3').pass(300, ['w2', 'w3']);
    expect(stage.members).toEqual(['w2', 'w3']);
    expect(stage.views.at(-1)?.generation).toBe(2);
  });

  it('loses a member that is silent for too long, and names its last phase', () => {
    const stage = inView('w1', 'w2', 'w3').do({ type: 'heartbeat', workerId: 'w3', phase: 'ring' });
    stage.pass(5000, ['w1', 'w2']);
    expect(stage.expelled).toEqual([]);
    stage.pass(1250, ['w1', 'w2']);
    expect(stage.expelled).toEqual(['w3']);
    expect(stage.views.at(-1)?.reason).toContain('ring');
    expect(stage.members).toEqual(['w1', 'w2']);
  });

  it('lives for hours of heartbeats without a decision', () => {
    const stage = inView('w1', 'w2');
    const before = stage.decisions.length;
    stage.pass(3 * 3_600_000, ['w1', 'w2']);
    expect(stage.decisions).toHaveLength(before);
  });

  it('does not blame workers for a pause of this process', () => {
    const stage = inView('w1', 'w2');
    stage.nowMs += 3_600_000;
    stage.do({ type: 'tick' });
    expect(stage.expelled).toEqual([]);
    stage.pass(6500, ['w1']);
    expect(stage.expelled).toEqual(['w2']);
  });
});

describe('a rebalance', () => {
  const sharesOf = (stage: Stage) =>
    stage.decisions
      .filter((one) => one.type === 'form-view')
      .at(-1)
      ?.view.members.map(({ workerId, share }) => [workerId, share]);
  const balanced = () =>
    inView('w1', 'w2').do({
      type: 'rebalance',
      grains: new Map([
        ['w1', 6],
        ['w2', 2],
      ]),
      reason: 'measured',
    });

  it('forms a view with shares in proportion to the grains', () => {
    const stage = balanced();
    expect(stage.state.generation).toBe(2);
    expect(stage.reasons.at(-1)).toBe('measured');
    expect(sharesOf(stage)).toEqual([
      ['w1', 1500],
      ['w2', 500],
    ]);
  });

  it('gives a newcomer the share of an average thread', () => {
    const stage = balanced().join('w3').ready('w3').pass(300, ['w1', 'w2', 'w3']);
    expect(sharesOf(stage)?.at(-1)).toEqual(['w3', 1000]);
  });

  it('does not happen while the run is ending, or without a view', () => {
    const grains = new Map([['w1', 8]]);
    const ending = inView('w1', 'w2').do({ type: 'stopping' }).do({ type: 'rebalance', grains, reason: 'measured' });
    expect(ending.state.generation).toBe(1);
    const alone = new Stage().join('w1').ready('w1').do({ type: 'rebalance', grains, reason: 'measured' });
    expect(alone.state.generation).toBe(0);
  });
});

describe('stopping', () => {
  it('takes nobody new in, and lets survivors below the minimum end the run', () => {
    const stage = inView('w1', 'w2').do({ type: 'stopping' }).join('w3').ready('w3').pass(1000, ['w1', 'w2', 'w3']);
    expect(stage.views).toHaveLength(1);
    stage.do({ type: 'lost', workerId: 'w1', reason: 'killed' });
    expect(stage.members).toEqual(['w2']);
  });

  it('gives waiting survivors a view to end in', () => {
    const stage = inView('w1', 'w2').do({ type: 'lost', workerId: 'w1', reason: 'killed' }).do({ type: 'stopping' });
    expect(stage.members).toEqual(['w2']);
  });
});

describe('any sequence of events', () => {
  const ids = ['w1', 'w2', 'w3', 'w4', 'w5'] as const;
  const workerId = fc.constantFrom(...ids);
  const action = fc.oneof(
    fc.record({ kind: fc.constant('join' as const), workerId }),
    fc.record({ kind: fc.constant('ready' as const), workerId }),
    fc.record({ kind: fc.constant('lost' as const), workerId }),
    fc.record({ kind: fc.constant('fails' as const), workerId, suspect: fc.option(workerId, { nil: undefined }) }),
    fc.record({ kind: fc.constant('beat' as const), workerId }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 3000 }) }),
  );

  const play = (stage: Stage, actions: readonly (typeof action extends fc.Arbitrary<infer A> ? A : never)[]) => {
    const numbers = new Map<string, string>();
    let joined = 0;
    for (const act of actions) {
      if (act.kind === 'pass') stage.pass(act.ms);
      // Every joining is a new worker id, as the server gives them.
      else if (act.kind === 'join') {
        const id = `${act.workerId}.${++joined}`;
        if (!numbers.has(act.workerId)) stage.join(numbers.set(act.workerId, id).get(act.workerId)!);
      } else {
        const id = numbers.get(act.workerId) ?? 'nobody';
        if (act.kind === 'ready') stage.ready(id);
        else if (act.kind === 'beat') stage.do({ type: 'heartbeat', workerId: id });
        else if (act.kind === 'fails') stage.ringFails(id, act.suspect && numbers.get(act.suspect));
        else {
          stage.do({ type: 'lost', workerId: id, reason: 'x' });
          numbers.delete(act.workerId);
        }
      }
      for (const gone of stage.expelled) {
        for (const [name, id] of numbers) if (id === gone) numbers.delete(name);
      }
      checkInvariants(stage);
    }
  };

  function checkInvariants(stage: Stage): void {
    const { state, views } = stage;
    views.forEach((view, index) => {
      expect(view.generation).toBe(index + 1);
      expect(view.members.length).toBeGreaterThanOrEqual(OPTIONS.minWorkers);
      expect(new Set(view.members.map((member) => member.workerId)).size).toBe(view.members.length);
      expect(view.reason).not.toBe('');
    });
    for (const member of state.members) expect(state.workers.get(member)?.candidate).toBeDefined();
    if (state.members.length > 0) expect(stage.members).toEqual(state.members);
  }

  it('keeps generations growing, views above the minimum, members alive and reasons given', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => play(new Stage(), actions)),
      { numRuns: 300 },
    );
  });

  it('ends in one ring of all ready workers once it is quiet', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const stage = new Stage();
        play(stage, actions);
        const alive = [...stage.state.workers.keys()];
        stage.pass(30_000, alive);
        const ready = [...stage.state.workers.values()].filter(({ candidate }) => candidate).map((w) => w.workerId);
        if (ready.length >= OPTIONS.minWorkers) expect([...stage.state.members].sort()).toEqual(ready.sort());
        else expect(stage.state.members).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a maximum', () => {
  const full = (maxWorkers: number, ...ids: string[]): Stage =>
    new Stage({ ...OPTIONS, maxWorkers })
      .join(...ids)
      .ready(...ids)
      .pass(300);

  it('is not exceeded; who comes then waits as a spare, and no view is formed for it', () => {
    const stage = full(2, 'w1', 'w2').join('w3').ready('w3').pass(2000, ['w1', 'w2', 'w3']);
    expect(stage.views).toHaveLength(1);
    expect(stage.members).toEqual(['w1', 'w2']);
    expect(stage.reasons.at(-1)).toContain('w3 (n-w3) waits as a spare: at most 2 workers train');
  });

  it('lets a spare take the place of a lost member at once', () => {
    const stage = full(2, 'w1', 'w2', 'w3').do({ type: 'lost', workerId: 'w1', reason: 'killed' });
    expect(stage.members).toEqual(['w2', 'w3']);
    expect(stage.views).toHaveLength(2);
  });

  it('passes over a host with more threads than there is room for', () => {
    const stage = new Stage({ ...OPTIONS, maxWorkers: 3 }).join('w1', 'w2', 'w3');
    for (const [workerId, workers] of [
      ['w1', 2],
      ['w2', 2],
      ['w3', 1],
    ] as const)
      stage.do({ type: 'ready', workerId, endpoint: ENDPOINT, share: workers, workers });
    expect(stage.pass(300).members).toEqual(['w1', 'w3']);
  });

  it('never takes the place of a member that works', () => {
    const stage = full(2, 'w2', 'w3').join('w1').ready('w1').pass(300, ['w2', 'w3', 'w1']);
    stage.ringFails('w2').ringFails('w3');
    expect(stage.members).toEqual(['w2', 'w3']);
  });
});

describe('cost', () => {
  it('a thousand workers fit one view', () => {
    const ids = Array.from({ length: 1000 }, (_, index) => `w${index + 1}`);
    const stage = inView(...ids);
    expect(stage.members).toEqual(ids);
    expect(stage.views[0].reason).toContain('w8 (n-w8) and 992 more are ready');
  });

  it('a loss with an endless reason still makes a view that fits its message', () => {
    const ids = Array.from({ length: 12 }, (_, index) => `w${index + 1}`);
    const stage = inView(...ids);
    stage.do({ type: 'lost', workerId: 'w1', reason: 'x'.repeat(10_000) });
    expect(viewSchema.safeParse(stage.views.at(-1)).success).toBe(true);
  });
});
