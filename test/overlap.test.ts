/** `ring.overlap: auto` over a slow link: the view begins to overlap by itself, and the weights stay the same bits. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { coord, endAll, temporaryDirectory } from './support/coord.js';

const STEPS = 30;
const settings = [`maxSteps=${STEPS}`, 'ring.bucketBytes=1024', 'ring.overlap=auto', 'local=processes'];
const RUN = ['configs/synthetic-tiny.yaml', '--listen', '127.0.0.1:0', '--json', '--set', 'epochs=100'];

afterEach(endAll);

async function train(workers: number, env: Record<string, string>) {
  const runDir = temporaryDirectory();
  const more = settings.flatMap((setting) => ['--set', setting]);
  const start = coord(['start', ...RUN, '--workers', `${workers}`, '--run-dir', runDir, ...more], { env });
  expect((await start.exited).code, start.stderr).toBe(0);
  const finished = start.events.find(({ event }) => event === 'finished');
  return { weights: finished?.weightsSha256, runDir };
}

/** How many sums one worker reduced, in order of time, in each of so many equal parts of the run. */
async function sumsByPart(runDir: string, parts: number): Promise<number[]> {
  const out = join(temporaryDirectory(), 'trace.json');
  expect((await coord(['timeline', runDir, '--out', out]).exited).code).toBe(0);
  const { traceEvents } = JSON.parse(await readFile(out, 'utf8')) as {
    traceEvents: { name: string; pid: number; ts: number }[];
  };
  const ofWorker = traceEvents.filter(({ pid }) => pid === 1).sort((a, b) => a.ts - b.ts);
  const counts = new Array<number>(parts).fill(0);
  // A step has one maxima exchange, however its sums go.
  let steps = 0;
  for (const { name } of ofWorker) {
    if (name.startsWith('max ')) steps++;
    if (name.startsWith('sum ')) counts[Math.min(parts - 1, Math.floor((steps * parts) / STEPS))]++;
  }
  return counts;
}

describe('overlap by itself', () => {
  it('begins over a slow link, a sum a bucket instead of a sum a step, with the weights of one worker', async () => {
    const alone = await train(1, {});
    const slow = await train(2, { COORD_FAULT: 'slow-links=10' });
    expect(slow.weights).toMatch(/^[0-9a-f]{64}$/);
    expect(slow.weights).toBe(alone.weights);
    const counts = await sumsByPart(slow.runDir, 10);
    // The sum of the metrics comes in either case.
    expect(counts[8], String(counts)).toBeGreaterThan(1.5 * counts[0]);
  });
});
