import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadCheckpoint } from '@coord/checkpoint';
import { asideOf } from '@coord/disk';
import { isCoordError } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { readLedger } from '../src/index.js';
import { startTestCluster } from './cluster.js';
import { hashAt, LAST_STEP, stateAt, temporaryDirectory, testRun } from './fixtures.js';
import { finishAll, reportAll } from './scripted-worker.js';

describe('a run', () => {
  it('goes from the first view over steps, evaluation and a last checkpoint to goodbye', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const workers = await cluster.training(2);
    for (let step = 1; step <= LAST_STEP; step++) await reportAll(workers, step);
    const metrics = { loss: 5, correct: 9, samples: 10 };
    await workers[0].send({ type: 'evaluation-report', step: LAST_STEP, epoch: 1, metrics, durationMs: 3 });
    await finishAll(workers, LAST_STEP);
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(LAST_STEP));
    await Promise.all(workers.map((worker) => worker.next('goodbye')));
    const result = await cluster.coordinator.finished;
    expect(result).toMatchObject({ step: 8, epoch: 2, stopped: false, samples: 128, workers: 2 });
    expect(result.weightsSha256).toBe(hashAt(LAST_STEP));
    expect(result.testMetrics).toMatchObject({ loss: 0.5, accuracy: 0.9, step: 8 });
    const loaded = await loadCheckpoint(result.checkpointPath!);
    expect(loaded.manifest).toMatchObject({ step: 8, weightsSha256: hashAt(LAST_STEP) });
    expect(loaded.state.slots.get('momentum')).toEqual(stateAt(LAST_STEP).slots.get('momentum'));
    const entries = (await readLedger(join(cluster.runDir, 'ledger.jsonl'))).map(({ entry }) => entry);
    expect(entries.filter((entry) => entry.type === 'step').map((entry) => entry.step)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8,
    ]);
    expect(entries.at(-1)).toMatchObject({ type: 'finished', step: 8, weightsSha256: hashAt(LAST_STEP) });
  });

  it('reports a step once, with means, times by worker and the epoch it belongs to', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const workers = await cluster.training(2);
    await reportAll(workers, 1);
    const event = await cluster.events.nth('step');
    expect(event).toMatchObject({ step: 1, totalSteps: 8, epoch: 0, loss: 1, accuracy: 0.5, samples: 16 });
    expect(Object.keys(event.times)).toEqual([workers[0].workerId, workers[1].workerId]);
    for (let step = 2; step <= 5; step++) await reportAll(workers, step);
    expect((await cluster.events.nth('step', 5)).epoch).toBe(1);
    expect(cluster.events.of('step').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
  });

  it('records an evaluation once, and after the step that it is of', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const workers = await cluster.training(2);
    const evaluation = { type: 'evaluation-report', step: 1, epoch: 1, durationMs: 3 } as const;
    const metrics = { loss: 5, correct: 9, samples: 10 };
    await workers[0].report(1);
    await workers[0].send({ ...evaluation, metrics });
    await workers[0].send({ type: 'block-request', sha256: 'a'.repeat(64) });
    await workers[0].next('block');
    expect(cluster.events.of('evaluation')).toEqual([]);
    await workers[1].report(1);
    await workers[1].send({ ...evaluation, metrics });
    await cluster.events.nth('evaluation');
    await workers[1].send({ ...evaluation, metrics: { ...metrics, loss: 6 } });
    expect((await cluster.events.nth('warning')).message).toContain('0.6');
    expect(cluster.events.all.map(({ event }) => event).slice(-3)).toEqual(['step', 'evaluation', 'warning']);
  });

  it('records an evaluation after its step also where many steps are settled at once', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const workers = await cluster.training(2);
    const metrics = { loss: 5, correct: 9, samples: 10 };
    for (const step of [1, 2, 3]) await workers[0].report(step);
    await workers[0].send({ type: 'evaluation-report', step: 2, epoch: 1, durationMs: 3, metrics });
    await workers[0].send({ type: 'block-request', sha256: 'a'.repeat(64) });
    await workers[0].next('block');
    // The others' reports are all that these steps wait for.
    await workers[1].send({ type: 'leaving', reason: 'test' });
    await cluster.events.nth('step', 3);
    const told = cluster.events.all.filter(({ event }) => event === 'step' || event === 'evaluation');
    expect(told.map((event) => [event.event, 'step' in event && event.step])).toEqual([
      ['step', 1],
      ['step', 2],
      ['evaluation', 2],
      ['step', 3],
    ]);
  });

  it('answers block requests, and says null for a block that it does not have', async () => {
    const cluster = await startTestCluster();
    const worker = await cluster.join();
    const run = testRun();
    await worker.send({ type: 'block-request', sha256: run.data.train.blocks[0].sha256 });
    const block = await worker.next('block');
    expect(block.data?.byteLength).toBe(1000);
    await worker.send({ type: 'block-request', sha256: 'a'.repeat(64) });
    expect((await worker.next('block')).data).toBeNull();
  });

  it('sends its newest state to a worker that asks', async () => {
    const cluster = await startTestCluster();
    const worker = await cluster.join();
    await worker.send({ type: 'state-request' });
    const { header } = await worker.next('state-begin');
    expect(header).toMatchObject({ step: 0, weightsSha256: hashAt(0), slots: ['momentum'] });
    const { data } = await worker.next('state-chunk');
    const weights = stateAt(0).weights;
    expect(Buffer.from(data).equals(Buffer.from(weights.buffer))).toBe(true);
    await worker.next('state-end');
  });

  it('stops at a common step on request, with a checkpoint of it', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const workers = await cluster.training(2);
    await reportAll(workers, 1);
    await cluster.events.nth('step');
    cluster.coordinator.requestStop('Ctrl-C');
    for (const worker of workers) expect((await worker.next('stop')).reason).toBe('Ctrl-C');
    await reportAll(workers, 2);
    await finishAll(workers, 2, true);
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(2));
    const result = await cluster.coordinator.finished;
    expect(result).toMatchObject({ step: 2, stopped: true, epoch: 0, weightsSha256: hashAt(2) });
    expect((await loadCheckpoint(result.checkpointPath!)).manifest.step).toBe(2);
  });

  it('stops at once when no worker is there', async () => {
    const cluster = await startTestCluster();
    cluster.coordinator.requestStop('Ctrl-C');
    expect(await cluster.coordinator.finished).toMatchObject({ step: 0, stopped: true, workers: 0 });
  });

  it('takes nobody in once it is stopping', async () => {
    const cluster = await startTestCluster();
    await cluster.training(1);
    cluster.coordinator.requestStop('Ctrl-C');
    await expect(cluster.join('late')).rejects.toThrow();
    expect(cluster.events.of('warning').at(-1)?.code).toBe('JOIN_REFUSED');
  });

  it('ends with the error of a worker whose gradient is not finite', async () => {
    const cluster = await startTestCluster();
    const [worker] = await cluster.training(1);
    const message = 'the gradient of dense/kernel is not finite in grain 3 of step 1';
    await worker.send({ type: 'failed', code: 'GRADIENT_NOT_FINITE', message, hint: 'Lower the learning rate.' });
    const error = await cluster.coordinator.finished.catch((thrown) => thrown);
    expect(isCoordError(error, 'GRADIENT_NOT_FINITE')).toBe(true);
    expect(error.message).toContain('dense/kernel');
    expect(error.hint).toBe('Lower the learning rate.');
    expect((await worker.next('expelled')).code).toBe('GRADIENT_NOT_FINITE');
  });

  it('goes on without a worker that failed for a reason of its own', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const [first, second] = await cluster.training(2);
    const message = 'out of memory\n    at compile (engine.js:7)';
    await first.send({ type: 'failed', code: 'ENGINE_FAILED', message });
    expect((await second.nextView()).members.map(({ workerId }) => workerId)).toEqual([second.workerId]);
    expect((await cluster.events.nth('worker-lost')).reason).toBe('ENGINE_FAILED: out of memory');
  });

  it('goes on with one worker of the two that it began with', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const [first, second] = await cluster.training(2);
    await first.close();
    expect((await second.nextView()).members).toHaveLength(1);
  });

  it('waits for others when its last worker is gone, and fails if it was told not to', async () => {
    const patient = await startTestCluster();
    const [last] = await patient.training(1);
    await last.close();
    expect((await patient.events.nth('waiting', 2)).present).toBe(0);
    const strict = await startTestCluster({ waitForWorkers: false });
    const [only] = await strict.training(1);
    await only.close();
    await expect(strict.coordinator.finished).rejects.toMatchObject({ code: 'WORKERS_LOST' });
  });

  it('goes back to the newest state that anybody holds when all workers are gone, and says so', async () => {
    const cluster = await startTestCluster();
    const [first] = await cluster.training(1);
    await first.report(1);
    await first.report(2);
    await cluster.events.nth('step', 2);
    await first.close();
    const [second] = await cluster.training(1);
    await second.report(1);
    await second.report(2);
    await second.report(3);
    await cluster.events.nth('step', 5);
    cluster.coordinator.requestStop('enough');
    await second.finish(3, true);
    await second.next('state-request');
    await second.upload(stateAt(3));
    await cluster.coordinator.finished;
    const entries = (await readLedger(join(cluster.runDir, 'ledger.jsonl'))).map(({ entry }) => entry);
    expect(entries.filter(({ type }) => type === 'rewound')).toEqual([expect.objectContaining({ step: 0 })]);
    expect(entries.filter((entry) => entry.type === 'step').map((entry) => entry.step)).toEqual([1, 2, 3]);
  });

  it('says goodbye to a worker that leaves, and forms a view without it', async () => {
    const cluster = await startTestCluster({ minWorkers: 1 });
    const [first, second] = await cluster.training(2);
    await first.send({ type: 'leaving', reason: 'drained' });
    await first.next('goodbye');
    expect((await second.nextView()).reason).toContain('drained');
    expect(await cluster.events.nth('worker-lost')).toMatchObject({ left: true, workerId: first.workerId });
  });

  it('asks no worker to leave without which nobody would stay, though others are still there', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const [first, second] = await cluster.training(2);
    const drain = async ({ workerId }: { workerId: string }) => {
      const url = `${cluster.url.replace('ws', 'http')}/drain/${workerId}`;
      const answer = await fetch(url, { method: 'POST' });
      return [answer.status, ((await answer.json()) as { message?: string }).message];
    };
    expect(await drain(first)).toEqual([200, undefined]);
    await first.next('drain');
    expect(await drain(second)).toEqual([409, expect.stringContaining('is the only worker that stays')]);
    const third = await cluster.join('third');
    await third.ready();
    await third.nextView();
    expect(await drain(second)).toEqual([200, undefined]);
  });

  it('removes what a killed process has left half written', async () => {
    const runDir = await temporaryDirectory();
    const { pid } = spawnSync(process.execPath, ['--version']);
    const half = asideOf(join(runDir, 'tokens.json')).replace(`-${process.pid}-`, `-${pid}-`);
    await writeFile(half, 'half of it');
    await utimes(half, 0, 0);
    await startTestCluster({ runDir });
    expect(existsSync(half)).toBe(false);
  });

  it('keeps generations and worker numbers growing over a restart of the same run', async () => {
    const before = await startTestCluster();
    const [worker] = await before.training(1);
    const generation = worker.generation;
    await before.coordinator.close();
    const after = await startTestCluster({ runDir: before.runDir });
    const [next] = await after.training(1);
    expect(next.generation).toBeGreaterThan(generation);
    expect(next.workerId).not.toBe(worker.workerId);
  });

  it('refuses the ledger of another configuration', async () => {
    const before = await startTestCluster();
    await before.coordinator.close();
    const run = testRun({ configSha256: 'b'.repeat(64) });
    await expect(startTestCluster({ runDir: before.runDir, run })).rejects.toMatchObject({
      code: 'CHECKPOINT_MISMATCH',
    });
  });
  it('ends although a finished worker has lost its partners, and needs no floor for that', async () => {
    const cluster = await startTestCluster({ minWorkers: 2, floorWorkers: 2 });
    const workers = await cluster.training(2);
    for (let step = 1; step < LAST_STEP; step++) await reportAll(workers, step);
    await workers[0].report(LAST_STEP);
    await workers[0].finish(LAST_STEP);
    await workers[1].close();
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(LAST_STEP));
    expect(await cluster.coordinator.finished).toMatchObject({ step: LAST_STEP, stopped: false });
  });
});
