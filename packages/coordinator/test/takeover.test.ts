/**
 * A coordinator died; its workers trained on. The one that follows it, in the same run directory, takes them over. The first
 * one is killed as hard as a test in its own process can: its ledger is copied while it lives.
 */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readLedger } from '../src/index.js';
import { readPast } from '../src/past.js';
import { startTestCluster, type TestCluster } from './cluster.js';
import { hashAt, LAST_STEP, stateAt, stepReport, temporaryDirectory, testRun } from './fixtures.js';
import type { ScriptedWorker } from './scripted-worker.js';

const RETURN_WINDOW_MS = 60_000;

const ledgerOf = async (runDir: string) => readLedger(join(runDir, 'ledger.jsonl'));

async function stepsIn(runDir: string): Promise<number[]> {
  const entries = (await ledgerOf(runDir)).map(({ entry }) => entry);
  return entries.filter((entry) => entry.type === 'step').map((entry) => entry.step);
}

/** A run directory as the death of a coordinator leaves it: two workers in a view, the first steps on record. */
async function afterDeath(settled: number): Promise<string> {
  const first = await startTestCluster({ minWorkers: 2 });
  const workers = await first.training(2);
  for (let step = 1; step <= settled; step++) for (const worker of workers) await worker.report(step);
  if (settled > 0) await first.events.nth('step', settled);
  const runDir = await temporaryDirectory();
  // A step may stand in the ledger a second late; an end that everybody hears of may not.
  await until(async () => (await stepsIn(first.runDir)).length === settled);
  await copyFile(join(first.runDir, 'ledger.jsonl'), join(runDir, 'ledger.jsonl'));
  return runDir;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(20);
}

const successor = (runDir: string, returnWindowMs = RETURN_WINDOW_MS): Promise<TestCluster> =>
  startTestCluster({ runDir, minWorkers: 2, timings: { returnWindowMs } });

/** Comes back as a worker does that stands at `step` under view 1, and repeats what is not on record. */
async function comeBack(cluster: TestCluster, workerId: string, step: number): Promise<ScriptedWorker> {
  const worker = await cluster.join(`worker of ${workerId}`, { runId: 'test-run', workerId, generation: 1 });
  await worker.ready({ step });
  for (let missing = worker.settledStep + 1; missing <= step; missing++) await worker.send(stepReport(missing));
  return worker;
}

describe('a coordinator that follows a dead one', () => {
  it('knows whom it waits for, and takes all into one view of the next generation', async () => {
    const cluster = await successor(await afterDeath(2));
    expect(cluster.coordinator.awaited.map(({ workerId }) => workerId)).toEqual(['w1', 'w2']);
    const [first, second] = [await comeBack(cluster, 'w1', 5), await comeBack(cluster, 'w2', 5)];
    const views = [await first.nextView(), await second.nextView()];
    expect(views.map(({ generation }) => generation)).toEqual([2, 2]);
    expect(views[0].members.map(({ workerId }) => workerId)).toEqual(['w3', 'w4']);
    expect((await cluster.coordinator.returned).map(({ workerId }) => workerId)).toEqual(['w3', 'w4']);
    expect(cluster.events.of('view')).toHaveLength(1);
  });

  it('says what is on record, and settles what they did without it in order, each step once', async () => {
    const cluster = await successor(await afterDeath(2));
    const first = await comeBack(cluster, 'w1', 5);
    expect(first.settledStep).toBe(2);
    const second = await comeBack(cluster, 'w2', 4);
    for (const worker of [first, second]) await worker.nextView();
    await second.report(5);
    await first.report(6);
    await second.report(6);
    await cluster.events.nth('step', 4);
    expect(cluster.events.of('step').map(({ step }) => step)).toEqual([3, 4, 5, 6]);
    await cluster.coordinator.close();
    expect(await stepsIn(cluster.runDir)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('never goes back behind them, and saves a checkpoint of what they hold', async () => {
    const cluster = await successor(await afterDeath(2));
    const workers = [await comeBack(cluster, 'w1', 5), await comeBack(cluster, 'w2', 5)];
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(5));
    expect(await cluster.events.nth('checkpoint')).toMatchObject({ step: 5, weightsSha256: hashAt(5) });
    expect((await ledgerOf(cluster.runDir)).some(({ entry }) => entry.type === 'rewound')).toBe(false);
  });

  it('does not end the run with the first that has finished, before the others are back', async () => {
    const cluster = await successor(await afterDeath(1));
    const first = await comeBack(cluster, 'w1', LAST_STEP);
    await first.finish(LAST_STEP);
    const second = await comeBack(cluster, 'w2', LAST_STEP);
    await second.finish(LAST_STEP);
    expect((await first.nextView()).members).toHaveLength(2);
    await first.next('state-request');
    await first.upload(stateAt(LAST_STEP));
    await Promise.all([first.next('goodbye'), second.next('goodbye')]);
    expect(await cluster.coordinator.finished).toMatchObject({ step: LAST_STEP, stopped: false, workers: 2 });
    expect(await stepsIn(cluster.runDir)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('brings a stop to its end that the dead one had begun', async () => {
    const cluster = await successor(await afterDeath(1));
    const workers = [await comeBack(cluster, 'w1', 4), await comeBack(cluster, 'w2', 4)];
    for (const worker of workers) await worker.finish(4, true);
    await workers[0].next('state-request');
    await workers[0].upload(stateAt(4));
    expect(await cluster.coordinator.finished).toMatchObject({ step: 4, stopped: true });
  });

  it('goes on with newcomers from its checkpoint when nobody comes back', async () => {
    const cluster = await successor(await afterDeath(2), 50);
    expect(await cluster.coordinator.returned).toEqual([]);
    const workers = await cluster.training(2);
    for (let step = 1; step <= 3; step++) for (const worker of workers) await worker.report(step);
    await cluster.events.nth('step', 3);
    await cluster.coordinator.close();
    expect(await stepsIn(cluster.runDir)).toEqual([1, 2, 3]);
  });

  it('follows one that comes back late and is ahead of all', async () => {
    const cluster = await successor(await afterDeath(4), 50);
    const workers = await cluster.training(2);
    for (const worker of workers) await worker.report(1);
    const late = await comeBack(cluster, 'w1', 6);
    expect(late.settledStep).toBe(4);
    for (const worker of [...workers, late]) await worker.nextView();
    for (const worker of [...workers, late]) await worker.report(7);
    await cluster.events.nth('step', 4);
    expect(cluster.events.of('step').map(({ step }) => step)).toEqual([1, 5, 6, 7]);
    await cluster.coordinator.close();
    expect(await stepsIn(cluster.runDir)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('names a worker whose steps without a coordinator came to something else', async () => {
    const cluster = await successor(await afterDeath(1));
    const workers = [await comeBack(cluster, 'w1', 3), await comeBack(cluster, 'w2', 3)];
    const odd = await cluster.join('odd', { runId: 'test-run', workerId: 'w3', generation: 1 });
    await odd.ready({ step: 3 });
    for (const step of [2, 3]) await odd.report(step, 1);
    expect(await odd.next('expelled')).toMatchObject({ code: 'REPLICA_DIVERGED' });
    for (const worker of workers) await worker.nextView();
  });
});

describe('a worker that was cut off from a coordinator that lives', () => {
  it('takes its old place before the loss was noticed', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const [, second] = await cluster.training(2);
    const back = await cluster.join('worker 0', { runId: 'test-run', workerId: 'w1', generation: 1 });
    expect(await cluster.events.nth('worker-lost')).toMatchObject({ workerId: 'w1' });
    await back.ready({ step: 0 });
    const membersOf = async () => (await second.nextView()).members.map(({ workerId }) => workerId);
    // A view that another one follows before it is on the disk is never told.
    const seen = [await membersOf()];
    if (seen[0].length === 1) seen.push(await membersOf());
    expect(seen.slice(0, -1)).toEqual(seen.length === 1 ? [] : [['w2']]);
    expect(seen.at(-1)).toEqual(['w2', 'w3']);
  });

  it('cannot take the place of another process', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const [first] = await cluster.training(2);
    await cluster.join('a stranger', { runId: 'test-run', workerId: 'w1', generation: 1 });
    await first.send({ type: 'heartbeat', step: 0, generation: 1, phase: 'compute' });
    expect(cluster.events.of('worker-lost')).toEqual([]);
  });

  it('of another run is a newcomer here, and may not report what nobody asked it for', async () => {
    const cluster = await startTestCluster();
    const stranger = await cluster.join('stranger', { runId: 'another-run', workerId: 'w1', generation: 1 });
    await stranger.ready({ step: 0 });
    await stranger.report(1);
    expect(await stranger.next('expelled')).toMatchObject({ code: 'MESSAGE_UNEXPECTED' });
  });
});

describe('what a ledger says about who may come back', () => {
  const past = async (runDir: string) => readPast('ledger', await ledgerOf(runDir), testRun());

  it('is nobody after an end, and the members of the last view without one', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const [first] = await cluster.training(2);
    expect((await past(cluster.runDir)).awaited.map(({ workerId }) => workerId)).toEqual(['w1', 'w2']);
    await first.send({ type: 'leaving', reason: 'drained' });
    await first.next('goodbye');
    await cluster.events.nth('view', 2);
    await until(async () => (await past(cluster.runDir)).awaited.length === 1);
    await cluster.coordinator.close();
    expect((await past(cluster.runDir)).awaited).toEqual([]);
  });

  it('follows those that came back to a coordinator that died before its first view', async () => {
    const cluster = await successor(await afterDeath(1));
    await comeBack(cluster, 'w1', 1);
    await until(async () => (await past(cluster.runDir)).joined === 3);
    expect((await past(cluster.runDir)).awaited.map(({ workerId }) => workerId)).toEqual(['w2', 'w3']);
  });
});
