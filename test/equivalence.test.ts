/**
 * The test of the whole system: the same run on any number of workers, undisturbed or with workers killed, or stopped and
 * resumed on another number of workers, ends with one and the same SHA-256 of its weights.
 */
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type CoordEvent,
  type CoordProcess,
  coord,
  endAll,
  killWorkersOf,
  runCoord,
  temporaryDirectory,
} from './support/coord.js';

const STEPS = 40;
/** Long enough for a worker to start and join in the middle. */
const LONG_STEPS = 500;

/** A short run on real MNIST: an epoch and a half, with an odd last step, and grains that 3 and 5 workers do not divide. */
const SHORT_RUN = [
  'configs/mnist-cnn.yaml',
  ...[
    'batch.grains=8',
    'batch.grainSize=8',
    'data.limit.train=1700',
    'data.limit.test=500',
    `maxSteps=${STEPS}`,
    'epochs=2',
    'checkpoint.everySteps=10',
  ].flatMap((setting) => ['--set', setting]),
];

/** Reduces the network's 0.4 MB in several buckets. */
const OVERLAP = ['--set', 'ring.overlap=on', '--set', 'ring.bucketBytes=65536'];

function startArgs(directory: string, workers: number, ...more: string[]): string[] {
  return [
    'start',
    ...SHORT_RUN,
    '--json',
    '--listen',
    '127.0.0.1:0',
    '--workers',
    String(workers),
    '--run-dir',
    directory,
    ...more,
  ];
}

async function finishedEvent(process: CoordProcess): Promise<CoordEvent> {
  const exit = await process.exited;
  expect(exit, process.stderr).toEqual({ code: 0, signal: null });
  const last = process.events.at(-1) as CoordEvent;
  expect(last.event).toBe('finished');
  return last;
}

const joinLine = async (process: CoordProcess) => (await process.event('listening')) as CoordEvent & { urls: string[] };

afterEach(endAll);

describe('the weights after the last step', () => {
  let reference: CoordEvent;

  beforeAll(async () => {
    reference = await finishedEvent(coord(startArgs(temporaryDirectory(), 1)));
    expect(reference.weightsSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(reference.steps).toBe(STEPS);
  });

  it.each([2, 3, 5])('are the same bits on %i workers as on one', async (workers) => {
    const finished = await finishedEvent(coord(startArgs(temporaryDirectory(), workers)));
    expect(finished).toMatchObject({ weightsSha256: reference.weightsSha256, steps: STEPS, workers });
    expect(finished.testAccuracy).toBe(reference.testAccuracy);
    expect(finished.testLoss).toBe(reference.testLoss);
  });

  it('are the same bits on three workers that are threads of one process', async () => {
    const finished = await finishedEvent(coord(startArgs(temporaryDirectory(), 3, '--set', 'local=threads')));
    expect(finished).toMatchObject({ weightsSha256: reference.weightsSha256, steps: STEPS, workers: 3 });
  });

  it('are the same bits on two processes, one of them with two threads', async () => {
    const token = 'equivalence-test-token';
    const start = coord(startArgs(temporaryDirectory(), 0, '--min-workers', '3', '--token', token));
    const { urls } = await joinLine(start);
    for (const workers of ['1', '2']) coord(['worker', urls[0], '--workers', workers], { env: { COORD_TOKEN: token } });
    expect(await finishedEvent(start)).toMatchObject({ weightsSha256: reference.weightsSha256, workers: 3 });
  });

  it('are the same bits when gradients are reduced while others are computed', async () => {
    const finished = await finishedEvent(coord(startArgs(temporaryDirectory(), 3, ...OVERLAP)));
    expect(finished).toMatchObject({ weightsSha256: reference.weightsSha256, steps: STEPS, workers: 3 });
  });

  // With overlap, so that it happens between the buckets of a step too; chaos.test.ts does it without.
  it('are the same bits when workers are killed and others join in the middle', async () => {
    const long = ['--set', `maxSteps=${LONG_STEPS}`, '--set', 'epochs=20', '--set', 'checkpoint.everySteps=0'];
    const undisturbed = await finishedEvent(coord(startArgs(temporaryDirectory(), 1, ...long)));
    const token = 'equivalence-test-token';
    const args = startArgs(temporaryDirectory(), 0, '--min-workers', '2', '--token', token, ...long, ...OVERLAP);
    const start = coord(args);
    const { urls } = await joinLine(start);
    const join = (name: string) =>
      coord(['worker', urls[0], '--name', name, '--json'], { env: { COORD_TOKEN: token } });
    const [first, second] = [join('first'), join('second'), join('third')];
    await start.event((event) => event.event === 'view' && (event.members as string[]).length === 3);
    await start.event('step', start.events.length);
    // A change of view that follows another one before a step is complete is one recovery with it: each is waited for.
    const beforeLoss = start.events.length;
    first.kill('SIGKILL');
    const fourth = join('fourth');
    await start.event('recovered', beforeLoss);
    const ready = await start.event((event) => event.event === 'worker-ready' && event.name === 'fourth');
    const joined = await start.event('view', start.events.indexOf(ready));
    await start.event('recovered', start.events.indexOf(joined));
    second.kill('SIGKILL');
    const finished = await finishedEvent(start);
    expect(finished.weightsSha256).toBe(undisturbed.weightsSha256);
    expect(start.events.filter((event) => event.event === 'worker-lost').length).toBe(2);
    // Two losses and at least one join; each change of view says what it took.
    const recoveries = start.events.filter((event) => event.event === 'recovered');
    expect(recoveries.length).toBeGreaterThanOrEqual(3);
    expect(recoveries.filter(({ unheardMs }) => typeof unheardMs === 'number').length).toBeGreaterThanOrEqual(2);
    const steps = start.events.filter((event) => event.event === 'step').map((event) => event.step);
    expect(steps).toEqual(Array.from({ length: LONG_STEPS }, (_, i) => i + 1));
    expect((await fourth.exited).code).toBe(0);
  });

  it('are the same bits after a kill of everything and a resume on another number of workers', async () => {
    const directory = join(temporaryDirectory(), 'run');
    const first = coord(startArgs(directory, 2));
    await first.event((event) => event.event === 'checkpoint' && (event.step as number) >= 10);
    first.kill('SIGKILL');
    await first.exited;
    killWorkersOf(directory);
    const resumed = coord(['start', '--resume', directory, '--workers', '3', '--listen', '127.0.0.1:0', '--json']);
    const finished = await finishedEvent(resumed);
    expect(finished).toMatchObject({ weightsSha256: reference.weightsSha256, steps: STEPS });
    const steps = resumed.events.filter((event) => event.event === 'step').map((event) => event.step as number);
    expect(Math.min(...steps)).toBeGreaterThan(10);
  });

  it('are the same bits after Ctrl-C and a resume', async () => {
    const directory = join(temporaryDirectory(), 'run');
    const first = coord(startArgs(directory, 2));
    await first.event((event) => event.event === 'step' && (event.step as number) >= 5);
    first.kill('SIGINT');
    expect((await first.exited).code).toBe(130);
    expect(first.events.filter((event) => event.event === 'checkpoint').length).toBeGreaterThan(0);
    const resumed = coord(['start', '--resume', directory, '--workers', '1', '--listen', '127.0.0.1:0', '--json']);
    expect(await finishedEvent(resumed)).toMatchObject({ weightsSha256: reference.weightsSha256, steps: STEPS });
  });

  it('differ with another seed, so the hash does say something', async () => {
    const other = await finishedEvent(coord(startArgs(temporaryDirectory(), 2, '--seed', '12345')));
    expect(other.weightsSha256).not.toBe(reference.weightsSha256);
  });

  it('are what the exported checkpoint holds', async () => {
    const directory = join(temporaryDirectory(), 'run');
    const finished = await finishedEvent(coord(startArgs(directory, 1)));
    const evaluated = await runCoord(['eval', directory, '--json']);
    expect(evaluated.code, evaluated.stderr).toBe(0);
    expect(evaluated.events.at(-1)).toMatchObject({
      weightsSha256: finished.weightsSha256,
      testAccuracy: finished.testAccuracy,
    });
  });
});
