import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isCoordError } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { startTestCluster } from './cluster.js';
import { hashAt, stateAt, stepReport, testRun } from './fixtures.js';
import { reportAll } from './scripted-worker.js';

describe('replicas that differ', () => {
  it('names a worker whose state is not what all agreed on, and asks another', async () => {
    const run = testRun({ checkpoint: { everySteps: 1, everyEpochs: 0 } });
    const cluster = await startTestCluster({ minWorkers: 1, run });
    const workers = await cluster.training(3);
    await reportAll(workers, 1);
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(1, 0.5));
    expect(await cluster.events.nth('worker-diverged')).toMatchObject({ workerId: workers[0].workerId, step: 1 });
    await workers[1].next('state-request');
    await workers[1].upload(stateAt(1));
    expect(await cluster.events.nth('checkpoint')).toMatchObject({ step: 1, weightsSha256: hashAt(1) });
  });

  it('names the worker that computes something else, and expels it the second time; the majority goes on', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const workers = await cluster.training(3);
    for (const step of [1, 2]) {
      await reportAll(workers.slice(0, 2), step);
      await workers[2].report(step, 0.25);
    }
    expect(await cluster.events.nth('worker-diverged')).toMatchObject({ workerId: workers[2].workerId, step: 1 });
    const expelled = await workers[2].next('expelled');
    expect(expelled.code).toBe('REPLICA_DIVERGED');
    expect(expelled.message).toContain(workers[2].workerId);
    const view = await workers[0].nextView();
    expect(view.members.map(({ workerId }) => workerId)).toEqual([workers[0].workerId, workers[1].workerId]);
    expect(await cluster.events.nth('step')).toMatchObject({ step: 1, weightsSha256: hashAt(1) });
    const text = await readFile(join(cluster.runDir, 'ledger.jsonl'), 'utf8');
    expect(text).toContain('"type":"worker-diverged"');
  });

  it('names a worker whose metrics differ though its weights do not', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const workers = await cluster.training(3);
    await reportAll(workers.slice(0, 2), 1);
    await workers[2].send(stepReport(1, { metrics: { loss: 1, correct: 8, samples: 16 } }));
    expect(await cluster.events.nth('worker-diverged')).toMatchObject({ workerId: workers[2].workerId, step: 1 });
  });

  it('counts one incident once, however often it is told', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const workers = await cluster.training(3);
    const [first, , odd] = workers;
    await reportAll(workers.slice(0, 2), 1);
    await odd.report(1, 0.25);
    const dissenters = [{ workerId: odd.workerId, weightsSha256: hashAt(1, 0.25), isIntact: true }];
    const told = { type: 'diverged', generation: 1, step: 1, agreedSha256: hashAt(1), dissenters } as const;
    await first.send({ ...told, differences: [] });
    const difference = { name: 'dense/kernel', count: 3, firstIndex: 0, found: '1', expected: '2' };
    await odd.send({ ...told, differences: [difference] });
    await reportAll(workers, 2);
    expect(await cluster.events.nth('step', 2)).toMatchObject({ step: 2 });
    expect(cluster.events.of('worker-diverged')).toHaveLength(1);
    const repaired = await cluster.events.nth('worker-repaired');
    expect(repaired).toMatchObject({ workerId: odd.workerId, arrays: [{ count: 3 }] });
    const evidence = await readFile(join(cluster.runDir, 'evidence', `diverged-step-1-${odd.workerId}.json`), 'utf8');
    expect(JSON.parse(evidence)).toMatchObject({ agreedSha256: hashAt(1), differences: [difference] });
  });

  it('lets no worker have another one expelled by its word alone, in either way', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const workers = await cluster.training(4);
    const [liar, victim, third, fourth] = workers;
    await reportAll(workers, 1);
    await reportAll(workers, 2);
    await cluster.events.nth('step', 2);
    const accuse = (speaker: typeof liar, step: number, more: object = { agreedSha256: hashAt(step) }) => {
      const dissenters = [{ workerId: victim.workerId, weightsSha256: hashAt(step, 0.25), isIntact: true }];
      return speaker.send({ type: 'diverged', generation: 1, step, dissenters, differences: [], ...more });
    };
    for (const step of [1, 2]) await accuse(liar, step);
    for (const step of [1, 2]) await accuse(liar, step, { startsFrom: step });
    await accuse(third, 2);
    await reportAll(workers, 3);
    await cluster.events.nth('step', 3);
    expect(cluster.events.of('worker-diverged')).toEqual([]);
    // Three of four have a majority.
    await accuse(fourth, 2);
    expect(await cluster.events.nth('worker-diverged')).toMatchObject({ workerId: victim.workerId, step: 2 });
  });

  it('names the one that was wrong once workers that went back have computed the step again', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const workers = await cluster.training(2);
    await reportAll(workers, 1);
    await workers[0].report(2);
    await workers[1].report(2, 0.25);
    const dissenters = workers.map(({ workerId }, index) => ({
      workerId,
      weightsSha256: hashAt(2, index * 0.25),
      isIntact: true,
    }));
    for (const worker of workers) {
      await worker.send({ type: 'diverged', generation: 1, step: 2, dissenters, differences: [], startsFrom: 0 });
    }
    for (const step of [1, 2]) await reportAll(workers, step);
    expect(await cluster.events.nth('worker-diverged')).toMatchObject({ workerId: workers[1].workerId, step: 2 });
    expect(cluster.events.of('step').map(({ step }) => step)).toEqual([1, 2]);
  });

  it('fails when no result has a majority and the workers go on nevertheless', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const workers = await cluster.training(2);
    await workers[0].report(1);
    await workers[1].report(1, 0.25);
    await workers[0].report(2);
    const error = await cluster.coordinator.finished.catch((thrown) => thrown);
    expect(isCoordError(error, 'REPLICA_DIVERGED')).toBe(true);
    expect(error.exitCode).toBe(7);
    expect(error.message).toContain('step 1');
  });
});
