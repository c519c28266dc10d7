import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readLedger } from '../src/index.js';
import { startTestCluster, type TestCluster } from './cluster.js';
import { hashAt, LAST_STEP, stateAt, testRun } from './fixtures.js';
import { reportAll } from './scripted-worker.js';

/** The only worker has reported its last step and is asked for the state; the newest checkpoint is that of step 6. */
async function oneAtTheEnd() {
  const run = testRun({ checkpoint: { everySteps: 6, everyEpochs: 0 } });
  const cluster = await startTestCluster({ minWorkers: 1, run });
  const [worker] = await cluster.training(1);
  for (let step = 1; step <= 6; step++) await worker.report(step);
  await worker.next('state-request');
  await worker.upload(stateAt(6));
  await cluster.events.nth('checkpoint');
  for (const step of [7, 8]) await worker.report(step);
  await worker.finish(LAST_STEP);
  await worker.next('state-request');
  return { cluster, worker };
}

async function anotherEnds(cluster: TestCluster): Promise<void> {
  const [worker] = await cluster.training(1);
  for (const step of [7, 8]) await worker.report(step);
  await worker.finish(LAST_STEP);
  await worker.next('state-request');
  await worker.upload(stateAt(LAST_STEP));
  expect(await cluster.coordinator.finished).toMatchObject({ step: LAST_STEP, weightsSha256: hashAt(LAST_STEP) });
}

describe('at the end', () => {
  it('the odd one is expelled and the majority ends the run', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const workers = await cluster.training(3);
    for (let step = 1; step <= LAST_STEP; step++) await reportAll(workers, step);
    await workers[0].finish(LAST_STEP);
    await workers[2].finish(LAST_STEP);
    await workers[1].finish(LAST_STEP, false, 0.5);
    expect((await workers[1].next('expelled')).code).toBe('REPLICA_DIVERGED');
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(LAST_STEP));
    expect(await cluster.coordinator.finished).toMatchObject({ weightsSha256: hashAt(LAST_STEP), workers: 2 });
  });

  it('a worker that comes back while the last state is saved is sent home with the others, and a newcomer is told why not', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const workers = await cluster.training(2);
    for (let step = 1; step <= LAST_STEP; step++) await reportAll(workers, step);
    for (const worker of workers) await worker.finish(LAST_STEP);
    const uploading = workers[0];
    await uploading.next('state-request');
    await workers[1].close();
    await cluster.events.nth('worker-lost');
    const back = await cluster.join('worker 1', { runId: 'test-run', workerId: 'w2', generation: 1 });
    await back.ready({ step: LAST_STEP });
    await back.finish(LAST_STEP);
    await expect(cluster.join('another')).rejects.toThrow('JOIN_REFUSED');
    await uploading.upload(stateAt(LAST_STEP));
    await Promise.all([uploading.next('goodbye'), back.next('goodbye')]);
    expect(await cluster.coordinator.finished).toMatchObject({ step: LAST_STEP, stopped: false });
  });

  it('a worker that comes back as everybody who held the last state goes ends the run with its own', async () => {
    const { cluster, worker } = await oneAtTheEnd();
    await worker.close();
    await cluster.events.nth('warning');
    const back = await cluster.join('worker 0', { runId: 'test-run', workerId: 'w1', generation: 1 });
    await back.ready({ step: LAST_STEP });
    await back.finish(LAST_STEP);
    await back.next('state-request');
    await back.upload(stateAt(LAST_STEP));
    await back.next('goodbye');
    expect(await cluster.coordinator.finished).toMatchObject({ step: LAST_STEP, weightsSha256: hashAt(LAST_STEP) });
  });

  it('a state that goes missing with every worker is computed again by others', async () => {
    const { cluster, worker } = await oneAtTheEnd();
    await worker.close();
    await cluster.events.nth('warning');
    await anotherEnds(cluster);
    const entries = (await readLedger(join(cluster.runDir, 'ledger.jsonl'))).map(({ entry }) => entry);
    expect(entries.filter((entry) => entry.type === 'rewound').map(({ step }) => step)).toEqual([6]);
    expect(entries.filter((entry) => entry.type === 'step').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('a state that goes missing with every worker fails a run that does not wait for others', async () => {
    const cluster = await startTestCluster({ minWorkers: 1, waitForWorkers: false });
    const [worker] = await cluster.training(1);
    for (let step = 1; step <= LAST_STEP; step++) await worker.report(step);
    await worker.finish(LAST_STEP);
    await worker.next('state-request');
    await worker.close();
    await expect(cluster.coordinator.finished).rejects.toMatchObject({ code: 'WORKERS_LOST', exitCode: 7 });
  });

  it('a last worker that does not have the state it ended with is sent away, and others compute again', async () => {
    const { cluster, worker } = await oneAtTheEnd();
    await worker.upload(stateAt(LAST_STEP, 0.5));
    expect(await worker.next('expelled')).toMatchObject({ code: 'REPLICA_DIVERGED' });
    await anotherEnds(cluster);
  });

  it('a last worker that does not have the state it ended with fails a run that does not wait for others', async () => {
    const cluster = await startTestCluster({ minWorkers: 1, waitForWorkers: false });
    const [worker] = await cluster.training(1);
    for (let step = 1; step <= LAST_STEP; step++) await worker.report(step);
    await worker.finish(LAST_STEP);
    await worker.next('state-request');
    await worker.upload(stateAt(LAST_STEP, 0.5));
    await expect(cluster.coordinator.finished).rejects.toMatchObject({ code: 'WORKERS_LOST', exitCode: 7 });
  });

  it('a checkpoint that cannot be written fails the run, and names the reason', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const [worker] = await cluster.training(1);
    await writeFile(join(cluster.runDir, 'checkpoints'), 'a file where the directory should be');
    for (let step = 1; step <= LAST_STEP; step++) await worker.report(step);
    await worker.finish(LAST_STEP);
    await worker.next('state-request');
    await worker.upload(stateAt(LAST_STEP));
    await expect(cluster.coordinator.finished).rejects.toMatchObject({ code: 'CHECKPOINT_WRITE_FAILED', exitCode: 4 });
  });

  it('a stop with everybody gone says which steps no checkpoint holds', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const [worker] = await cluster.training(1);
    await worker.report(1);
    await cluster.events.nth('step');
    await worker.close();
    await cluster.events.nth('worker-lost');
    cluster.coordinator.requestStop('Ctrl-C');
    expect(await cluster.coordinator.finished).toMatchObject({ step: 0, stopped: true });
    expect(cluster.events.of('warning').at(-1)?.message).toContain('holds the last step;');
  });
});

describe('a restart of the run', () => {
  it('computes the steps after its checkpoint again, and does not write equal ones twice', async () => {
    const before = await startTestCluster();
    const [first] = await before.training(1);
    for (const step of [1, 2, 3]) await first.report(step);
    await before.events.nth('step', 3);
    await before.coordinator.close();
    const after = await startTestCluster({ runDir: before.runDir, initialState: stateAt(1) });
    const [second] = await after.training(1);
    for (const step of [2, 3, 4]) await second.report(step);
    await after.events.nth('step', 3);
    await after.coordinator.close();
    const entries = (await readLedger(join(after.runDir, 'ledger.jsonl'))).map(({ entry }) => entry);
    expect(entries.filter((entry) => entry.type === 'step').map((entry) => entry.step)).toEqual([1, 2, 3, 4]);
    expect(entries.filter((entry) => entry.type === 'run-started').map((entry) => entry.step)).toEqual([0, 1]);
    expect(after.events.of('warning')).toEqual([]);
  });

  it('says so when a step comes out differently than before', async () => {
    const before = await startTestCluster();
    const [first] = await before.training(1);
    await first.report(1, 0.5);
    await before.events.nth('step');
    await before.coordinator.close();
    const after = await startTestCluster({ runDir: before.runDir });
    const [second] = await after.training(1);
    await second.report(1);
    await after.events.nth('step');
    expect(after.events.of('warning').at(-1)?.message).toContain('step 1 was computed again');
  });
});
