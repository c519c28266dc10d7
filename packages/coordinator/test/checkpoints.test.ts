import { describe, expect, it } from 'vitest';
import { startTestCluster } from './cluster.js';
import { hashAt, stateAt, testRun } from './fixtures.js';
import { reportAll } from './scripted-worker.js';

describe('a state for a checkpoint', () => {
  it('takes checkpoints when the run says so, from the lowest rank', async () => {
    const run = testRun({ checkpoint: { everySteps: 3, everyEpochs: 1 } });
    const cluster = await startTestCluster({ minWorkers: 2, run });
    const workers = await cluster.training(2);
    for (const step of [1, 2, 3]) await reportAll(workers, step);
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(3));
    expect(await cluster.events.nth('checkpoint')).toMatchObject({ step: 3, weightsSha256: hashAt(3) });
    await reportAll(workers, 4);
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(4));
    expect(await cluster.events.nth('checkpoint', 2)).toMatchObject({ step: 4 });
  });

  it('expels a worker that delivers an older state than it has reported', async () => {
    const run = testRun({ checkpoint: { everySteps: 2, everyEpochs: 0 } });
    const cluster = await startTestCluster({ run });
    const [worker] = await cluster.training(1);
    await worker.report(1);
    await worker.report(2);
    await worker.next('state-request');
    await worker.upload(stateAt(1));
    expect((await worker.next('expelled')).message).toContain('the state of step 1 after it had reported step 2');
  });

  it('expels nobody who has gone back with the others before it delivers', async () => {
    const run = testRun({ checkpoint: { everySteps: 2, everyEpochs: 0 } });
    const cluster = await startTestCluster({ run });
    const workers = await cluster.training(2);
    for (const step of [1, 2]) await reportAll(workers, step);
    const dissenters = workers.map(({ workerId }) => ({ workerId, weightsSha256: hashAt(2), isIntact: true }));
    const retreat = { type: 'diverged', generation: 1, step: 2, dissenters, differences: [], startsFrom: 0 } as const;
    for (const worker of workers) {
      await worker.next('state-request');
      await worker.send(retreat);
      await worker.upload(stateAt(0));
    }
    for (const step of [1, 2]) await reportAll(workers, step);
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(2));
    expect(await cluster.events.nth('checkpoint')).toMatchObject({ step: 2 });
    expect(cluster.events.of('worker-lost')).toEqual([]);
  });

  it('accepts a newer state than it asked for', async () => {
    const run = testRun({ checkpoint: { everySteps: 3, everyEpochs: 0 } });
    const cluster = await startTestCluster({ run });
    const workers = await cluster.training(1);
    for (const step of [1, 2, 3]) await reportAll(workers, step);
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(4));
    await reportAll(workers, 4);
    expect(await cluster.events.nth('checkpoint')).toMatchObject({ step: 4 });
  });

  it('asks another worker when the first one dies over its state', async () => {
    const run = testRun({ checkpoint: { everySteps: 1, everyEpochs: 0 } });
    const cluster = await startTestCluster({ minWorkers: 1, run });
    const workers = await cluster.training(3);
    await reportAll(workers, 1);
    await workers[0].next('state-request');
    await workers[0].close();
    await workers[1].next('state-request');
    await workers[1].upload(stateAt(1));
    expect(await cluster.events.nth('checkpoint')).toMatchObject({ step: 1 });
  });
});
