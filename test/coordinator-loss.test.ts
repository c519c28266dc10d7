/**
 * The coordinator dies, by SIGKILL, in the middle of a run. Its workers train on; a resumed coordinator takes them over; the
 * weights are the same bits, and the ledger holds every step once. Nothing here waits for a time: only for what is said.
 */
import { appendFileSync, cpSync, readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type CoordEvent,
  type CoordProcess,
  coord,
  endAll,
  killWorkersOf,
  ledgerEntries,
  runCoord,
  temporaryDirectory,
} from './support/coord.js';

const TOKEN = 'coordinator-loss-token';
/** Long enough that the coordinator can be killed twice and come back in between; workers wait in it more than they compute. */
const STEPS = 1500;
const PACE = { COORD_FAULT: 'slow-grains=2' };

const RUN = [
  'configs/synthetic-tiny.yaml',
  ...[
    'batch.grains=8',
    `maxSteps=${STEPS}`,
    'epochs=200',
    'checkpoint.everySteps=200',
    'checkpoint.everyEpochs=0',
    'evaluation.everyEpochs=20',
    'local=processes',
  ].flatMap((setting) => ['--set', setting]),
];

const directories: string[] = [];

function startRun(workers: number, env: Record<string, string>, more: readonly string[]) {
  const directory = join(temporaryDirectory(), 'run');
  directories.push(directory);
  const args = ['start', ...RUN, '--json', '--workers', String(workers), '--run-dir', directory, ...more];
  return { start: coord(args, { env }), directory };
}

const newRun = (workers: number, ...more: string[]) => startRun(workers, PACE, more);

const joinRun = (url: string, ...more: string[]): CoordProcess =>
  coord(['worker', url, '--json', ...more], { env: { COORD_TOKEN: TOKEN, ...PACE } });

const resume = (directory: string, ...more: string[]): CoordProcess =>
  coord(['start', '--resume', directory, '--json', ...more]);

const stepOf = (event: CoordEvent): number => event.step as number;

const reaches = (start: CoordProcess, step: number): Promise<CoordEvent> =>
  start.event((event) => event.event === 'step' && stepOf(event) >= step);

async function kill(start: CoordProcess): Promise<void> {
  start.kill('SIGKILL');
  await start.exited;
}

async function finishedEvent(start: CoordProcess): Promise<CoordEvent> {
  const exit = await start.exited;
  expect(exit, start.stderr).toEqual({ code: 0, signal: null });
  const last = start.events.at(-1) as CoordEvent;
  expect(last.event).toBe('finished');
  return last;
}

function expectWholeLedger(directory: string): void {
  const entries = ledgerEntries(directory);
  const steps = entries.filter(({ type }) => type === 'step').map(({ step }) => step);
  expect(steps).toEqual(Array.from({ length: STEPS }, (_, index) => index + 1));
  const generations = entries.filter(({ type }) => type === 'view').map(({ generation }) => generation as number);
  expect(generations).toEqual(Array.from(generations, (_, index) => index + 1));
}

async function expectCleanAudit(directory: string): Promise<void> {
  const audit = await runCoord(['audit', directory]);
  expect(audit.code, audit.stdout + audit.stderr).toBe(0);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const joinsOf = (start: CoordProcess): CoordEvent[] => start.events.filter(({ event }) => event === 'worker-joined');

afterEach(async () => {
  await endAll();
  for (const directory of directories.splice(0)) killWorkersOf(directory);
});

describe('a coordinator that is killed in the middle of a run', () => {
  let reference: CoordEvent;

  beforeAll(async () => {
    reference = await finishedEvent(startRun(1, {}, []).start);
    expect(reference.steps).toBe(STEPS);
  }, 120_000);

  it('is taken over from by a resumed one, while its three workers train on', async () => {
    const { start, directory } = newRun(0, '--min-workers', '3', '--token', TOKEN);
    const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
    const workers = [1, 2, 3].map((n) => joinRun(urls[0], '--name', `remote-${n}`));
    await reaches(start, 300);
    await kill(start);
    const lost = await Promise.all(workers.map((worker) => worker.event('coordinator-lost')));
    const resumed = resume(directory);
    const returned = await Promise.all(workers.map((worker) => worker.event('returned')));
    const finished = await finishedEvent(resumed);
    returned.forEach((event, index) => {
      expect(stepOf(event)).toBeGreaterThan(stepOf(lost[index]));
    });
    expect(finished).toMatchObject({ weightsSha256: reference.weightsSha256, steps: STEPS, workers: 3 });
    expect(finished).toMatchObject({ testLoss: reference.testLoss, testAccuracy: reference.testAccuracy });
    expectWholeLedger(directory);
    const views = resumed.events.filter(({ event }) => event === 'view').map(({ members }) => members as string[]);
    // All came in one view; later ones may share the grains differently, among the same three.
    expect(new Set(views.map((members) => members.join()))).toEqual(new Set(['w4,w5,w6']));
    for (const worker of workers) expect((await worker.exited).code, worker.stderr).toBe(0);
    await expectCleanAudit(directory);
  });

  it('twice, with the local workers of the first start, comes to the same bits without further workers', async () => {
    const { start, directory } = newRun(2);
    await reaches(start, 250);
    await kill(start);
    const second = resume(directory);
    await second.event('view');
    await kill(second);
    const third = resume(directory);
    const finished = await finishedEvent(third);
    expect(finished).toMatchObject({ weightsSha256: reference.weightsSha256, steps: STEPS, workers: 2 });
    expect(
      joinsOf(second)
        .map(({ returns }) => returns)
        .sort(),
    ).toEqual(['w1', 'w2']);
    expect(
      joinsOf(third)
        .map(({ returns }) => returns)
        .sort(),
    ).toEqual(['w3', 'w4']);
    expectWholeLedger(directory);
  });

  it('with a worker that dies meanwhile is taken over with one launched in its place', async () => {
    const { start, directory } = newRun(2);
    await reaches(start, 250);
    await kill(start);
    const [first] = ledgerEntries(directory).filter(({ type }) => type === 'worker-joined');
    process.kill(first.pid as number, 'SIGKILL');
    const resumed = resume(directory);
    const finished = await finishedEvent(resumed);
    expect(finished).toMatchObject({ weightsSha256: reference.weightsSha256, steps: STEPS, workers: 2 });
    expect(joinsOf(resumed).map(({ returns }) => returns)).toEqual(['w2', undefined]);
    expectWholeLedger(directory);
  });

  it('is followed by one that ends the local workers of both with Ctrl-C', async () => {
    // Slower, so that the workers are not done before the Ctrl-C, however long the second coordinator takes on a busy machine.
    const { start, directory } = startRun(2, { COORD_FAULT: 'slow-grains=10' }, []);
    await reaches(start, 50);
    await kill(start);
    const resumed = resume(directory);
    await resumed.event('view');
    resumed.kill('SIGINT');
    expect((await resumed.exited).code, resumed.stderr).toBe(130);
    const pids = ledgerEntries(directory).flatMap(({ type, pid }) => (type === 'worker-joined' ? [pid as number] : []));
    expect(pids).toHaveLength(4);
    expect(pids.filter(isRunning)).toEqual([]);
    expect(resumed.events.at(-1)).toMatchObject({ event: 'finished', stopped: true });
  });

  it('for good ends its workers with COORDINATOR_LOST once their patience has ended', async () => {
    const { start } = newRun(0, '--token', TOKEN);
    const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
    const worker = joinRun(urls[0], '--patience', '1');
    await reaches(start, 50);
    await kill(start);
    expect((await worker.exited).code).toBe(6);
    expect(worker.events.find(({ event }) => event === 'coordinator-lost')).toMatchObject({ patienceMs: 1000 });
    expect(worker.stdout + worker.stderr).toContain('COORDINATOR_LOST');
    expect(worker.stdout + worker.stderr).toMatch(/coord start --resume/);
  });

  it('while it wrote, with all its workers, leaves a torn ledger and half a checkpoint, and the run goes on', async () => {
    const { start, directory } = newRun(2);
    await start.event((event) => event.event === 'checkpoint' && stepOf(event) >= 400);
    await kill(start);
    killWorkersOf(directory);
    // As a power cut leaves it: the newest checkpoint's directory with half of a file, the ledger's last line without its end.
    const checkpoints = join(directory, 'checkpoints');
    const newest = readdirSync(checkpoints)
      .filter((name) => /^step-\d+$/.test(name))
      .sort()
      .at(-1) as string;
    const torn = join(checkpoints, 'step-00009999');
    cpSync(join(checkpoints, newest), torn, { recursive: true });
    truncateSync(join(torn, 'weights.safetensors'), 100);
    appendFileSync(join(directory, 'ledger.jsonl'), '{"sha256":"0123');
    const resumed = resume(directory, '--workers', '1');
    const finished = await finishedEvent(resumed);
    expect(finished).toMatchObject({ weightsSha256: reference.weightsSha256, steps: STEPS });
    expect(resumed.events).toContainEqual(expect.objectContaining({ event: 'warning', code: 'LEDGER_CORRUPT' }));
    expectWholeLedger(directory);
  });
});

describe('a worker that stands still', () => {
  it('is taken out, and comes back by itself when it goes on', async () => {
    const { start, directory } = newRun(0, '--min-workers', '2', '--token', TOKEN);
    const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
    const [still, other] = ['still', 'other'].map((name) => joinRun(urls[0], '--name', name));
    await reaches(start, 50);
    still.kill('SIGSTOP');
    expect(await start.event('worker-lost')).toMatchObject({ name: 'still', left: false });
    still.kill('SIGCONT');
    const returned = await still.event('returned');
    const finished = await finishedEvent(start);
    expect(joinsOf(start).at(-1)).toMatchObject({ workerId: returned.workerId, name: 'still' });
    expect(finished).toMatchObject({ steps: STEPS, workers: 2 });
    for (const worker of [still, other]) expect((await worker.exited).code, worker.stderr).toBe(0);
    expectWholeLedger(directory);
    await expectCleanAudit(directory);
  });
});
