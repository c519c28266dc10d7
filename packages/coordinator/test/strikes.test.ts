/** A worker that differed once brings that with it when it comes back under another id, also to another coordinator. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readLedger } from '../src/index.js';
import { startTestCluster, type TestCluster } from './cluster.js';
import { stepReport, temporaryDirectory } from './fixtures.js';
import type { ScriptedWorker } from './scripted-worker.js';

/** Three workers, of which the third comes to other weights at step 1. */
async function withOddOne(): Promise<{ cluster: TestCluster; workers: ScriptedWorker[] }> {
  const cluster = await startTestCluster({ minWorkers: 3 });
  const workers = await cluster.training(3);
  for (const [index, worker] of workers.entries()) await worker.report(1, index === 2 ? 0.25 : 0);
  expect(await cluster.events.nth('worker-diverged')).toMatchObject({ workerId: 'w3', step: 1 });
  return { cluster, workers };
}

const comeBack = async (cluster: TestCluster, workerId: string): Promise<ScriptedWorker> => {
  const worker = await cluster.join(`worker of ${workerId}`, { runId: 'test-run', workerId, generation: 1 });
  await worker.ready({ step: 1 });
  return worker;
};

describe('a strike', () => {
  it('stays with a worker that loses its connection and comes back: the next one expels it', async () => {
    const { cluster, workers } = await withOddOne();
    await workers[2].close();
    await cluster.events.nth('worker-lost');
    const again = await comeBack(cluster, 'w3');
    const { generation } = await again.nextView();
    const others = workers.slice(0, 2);
    for (const worker of others) await worker.send(stepReport(2, { generation }));
    await again.send(stepReport(2, { generation, weightsSha256: 'b'.repeat(64) }));
    expect(await again.next('expelled')).toMatchObject({ code: 'REPLICA_DIVERGED' });
  });

  it('is read from the ledger by the coordinator that follows', async () => {
    const { cluster } = await withOddOne();
    const runDir = await temporaryDirectory();
    const isWritten = async () =>
      (await readLedger(join(cluster.runDir, 'ledger.jsonl'))).some(({ entry }) => entry.type === 'worker-diverged');
    while (!(await isWritten())) await sleep(20);
    await copyFile(join(cluster.runDir, 'ledger.jsonl'), join(runDir, 'ledger.jsonl'));
    const successor = await startTestCluster({ runDir, minWorkers: 3, timings: { returnWindowMs: 60_000 } });
    const workers = await Promise.all(['w1', 'w2', 'w3'].map((id) => comeBack(successor, id)));
    const generations = await Promise.all(workers.map(async (worker) => (await worker.nextView()).generation));
    for (const [index, worker] of workers.entries()) {
      const odd = index === 2 ? { weightsSha256: 'b'.repeat(64) } : {};
      await worker.send(stepReport(2, { generation: generations[index], ...odd }));
    }
    expect(await workers[2].next('expelled')).toMatchObject({ code: 'REPLICA_DIVERGED' });
  });
});
