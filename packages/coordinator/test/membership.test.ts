import { viewSchema } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideMembership, nextTickMs } from '../src/membership/decide.js';
import { initialMembership, isAwaitingReturns } from '../src/membership/state.js';
import type {
  MembershipDecision,
  MembershipEvent,
  MembershipOptions,
  MembershipState,
} from '../src/membership/types.js';

const OPTIONS: MembershipOptions = {
  runId: 'r',
  minWorkers: 2,
  floorWorkers: 2,
  joinWindowMs: 300,
  heartbeatTimeoutMs: 5000,
  ringGraceMs: 200,
  pauseAfterFailures: 3,
  pauseMs: 5000,
  maxPauses: 2,
  createRingKey: () => 'k'.repeat(32),
};

const ENDPOINT = { host: '127.0.0.1', port: 4000 };

/** Plays events on a virtual clock, ticking whenever a tick is due. */
class Stage {
  nowMs = 0;
  readonly decisions: MembershipDecision[] = [];
  readonly reasons: string[] = [];
  state: MembershipState;

  constructor(private readonly options: MembershipOptions = OPTIONS) {
    this.state = initialMembership(0);
  }

  do(event: MembershipEvent): this {
    const outcome = decideMembership(this.nowMs, this.state, event, this.options);
    this.state = outcome.state;
    this.decisions.push(...outcome.decisions);
    if (outcome.reason !== '') this.reasons.push(outcome.reason);
    return this;
  }

  /** Time passes; `alive` workers send a heartbeat every second. */
  pass(ms: number, alive: readonly string[] = []): this {
    const end = this.nowMs + ms;
    let beatMs = this.nowMs + 1000;
    while (this.nowMs < end) {
      const tickMs = nextTickMs(this.state, this.options);
      this.nowMs = Math.min(end, Math.max(this.nowMs + 1, Math.min(tickMs, beatMs)));
      if (this.nowMs >= beatMs) {
        for (const workerId of alive) this.do({ type: 'heartbeat', workerId, phase: 'compute' });
        beatMs += 1000;
      }
      this.do({ type: 'tick' });
    }
    return this;
  }

  join(...ids: string[]): this {
    for (const workerId of ids) this.do({ type: 'joined', workerId, name: `n-${workerId}` });
    return this;
  }

  ready(...ids: string[]): this {
    for (const workerId of ids) this.do({ type: 'ready', workerId, endpoint: ENDPOINT, share: 1 });
    return this;
  }

  ringFails(workerId: string, suspect?: string, generation = this.state.generation): this {
    return this.do({ type: 'ring-failed', workerId, generation, step: 7, suspect });
  }

  get views() {
    return this.decisions.filter((decision) => decision.type === 'form-view').map(({ view }) => view);
  }

  get members(): string[] {
    return this.views.at(-1)?.members.map(({ workerId }) => workerId) ?? [];
  }

  get expelled(): string[] {
    return this.decisions.filter((decision) => decision.type === 'expel').map(({ workerId }) => workerId);
  }
}

const inView = (...ids: string[]): Stage =>
  new Stage()
    .join(...ids)
    .ready(...ids)
    .pass(300);

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

  it('expels nobody where two accuse each other', () => {
    const stage = inView('w1', 'w2');
    for (let round = 0; round < 6; round++) stage.ringFails('w1', 'w2').ringFails('w2', 'w1').pass(7000, ['w1', 'w2']);
    expect(stage.expelled).toEqual([]);
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
