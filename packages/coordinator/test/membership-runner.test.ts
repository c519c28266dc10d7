/** What the membership rules decide is carried out in the order in which they decided it. */
import type { View } from '@coord/protocol';
import { expect, it } from 'vitest';
import { MembershipRunner } from '../src/membership/runner.js';
import { FakeClock } from './fake-clock.js';

const RULES = {
  runId: 'r',
  minWorkers: 3,
  floorWorkers: 1,
  joinWindowMs: 300,
  heartbeatTimeoutMs: 3000,
  ringGraceMs: 200,
  pauseAfterFailures: 3,
  pauseMs: 5000,
  maxPauses: 2,
  createRingKey: () => 'k'.repeat(32),
};

it('a view that follows from what an expulsion leads to comes after the view without the expelled worker', () => {
  const clock = new FakeClock();
  const carriedOut: string[] = [];
  const views: View[] = [];
  const runner: MembershipRunner = new MembershipRunner(
    clock,
    RULES,
    {
      formView(view) {
        views.push(view);
        carriedOut.push(`view ${view.generation}`);
      },
      // The last step that waited for it is settled now, and the grains are dealt out anew.
      expel(workerId) {
        carriedOut.push(`expel ${workerId}`);
        const grains = new Map([
          ['w1', 1],
          ['w2', 2],
        ]);
        runner.apply({ type: 'rebalance', grains, reason: 'grains follow measured speed' });
      },
      wait() {},
      returnsEnded() {},
      explain() {},
    },
    { generation: 0, joined: 0, awaited: [] },
    0,
  );
  for (const workerId of ['w1', 'w2', 'w3']) {
    runner.apply({ type: 'joined', workerId, name: workerId });
    runner.apply({ type: 'ready', workerId, endpoint: { host: '127.0.0.1', port: 4000 }, share: 1 });
  }
  for (let second = 0; second < 4; second++) {
    clock.advance(1000);
    for (const workerId of ['w1', 'w2']) runner.apply({ type: 'heartbeat', workerId, phase: 'compute' });
  }
  runner.close();
  expect(carriedOut).toEqual(['view 1', 'expel w3', 'view 2', 'view 3']);
  expect(views.map(({ members }) => members.map(({ workerId }) => workerId))).toEqual([
    ['w1', 'w2', 'w3'],
    ['w1', 'w2'],
    ['w1', 'w2'],
  ]);
  expect(views[2].members[1].share).toBeGreaterThan(views[2].members[0].share);
});
