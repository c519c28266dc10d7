/** A replica whose weights change is named and repaired before anything that it computes enters a sum: same bits at the end. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type CoordEvent, coord, endAll, ledgerEntries, runCoord, temporaryDirectory } from './support/coord.js';

const TOKEN = 'divergence-test-token';
const STEPS = 30;
const RUN = [
  'configs/synthetic-tiny.yaml',
  ...['epochs=10', `maxSteps=${STEPS}`, 'checkpoint.everySteps=10'].flatMap((setting) => ['--set', setting]),
  ...['--listen', '127.0.0.1:0', '--json'],
];

afterEach(endAll);

interface Outcome {
  readonly runDir: string;
  readonly events: readonly CoordEvent[];
  /** Of the faulty worker, in this start's order of joining. */
  readonly oddId: unknown;
  readonly oddExit: number | null;
  readonly logDirectory: string;
}

/** One worker with a fault, and others without. */
async function runWith(fault: string, workers: number): Promise<Outcome> {
  const runDir = temporaryDirectory();
  const logDirectory = temporaryDirectory();
  const where = ['--workers', '0', '--min-workers', String(workers), '--token', TOKEN, '--run-dir', runDir];
  const start = coord(['start', ...RUN, ...where]);
  const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
  const join = (name: string, env: Record<string, string>) =>
    coord(['worker', urls[0], '--name', name, '--json', '--log-dir', logDirectory], {
      env: { COORD_TOKEN: TOKEN, ...env },
    });
  const odd = join('odd', { COORD_FAULT: fault });
  for (let other = 1; other < workers; other++) join(`right-${other}`, {});
  const { workerId: oddId } = await odd.event('joined');
  expect((await start.exited).code, start.stderr).toBe(0);
  const { code: oddExit } = await odd.exited;
  return { runDir, events: start.events, oddId, oddExit, logDirectory };
}

const weightsAtEnd = (events: readonly CoordEvent[]) => events.find(({ event }) => event === 'finished')?.weightsSha256;

describe('a replica that differs', () => {
  let reference: unknown;

  beforeAll(async () => {
    const { events } = await runCoord(['start', ...RUN, '--workers', '1', '--run-dir', temporaryDirectory()]);
    reference = weightsAtEnd(events);
    expect(reference).toMatch(/^[0-9a-f]{64}$/);
  });

  it('because a bit flipped in its memory is named, repaired and kept as evidence; the weights end as the same bits', async () => {
    const { runDir, events, oddId, oddExit, logDirectory } = await runWith('flip-weight=12', 3);
    expect(weightsAtEnd(events)).toBe(reference);
    expect(oddExit).toBe(0);
    const repaired = events.filter(({ event }) => event === 'worker-repaired');
    expect(repaired).toMatchObject([{ workerId: oddId, step: 12, isIntact: false, arrays: [{ count: 1 }] }]);
    const ledger = ledgerEntries(runDir);
    expect(ledger.filter(({ type }) => type === 'worker-diverged')).toMatchObject([{ workerId: oddId, step: 12 }]);
    expect(ledger.filter(({ type }) => type === 'worker-repaired')).toHaveLength(1);
    const evidence = JSON.parse(readFileSync(join(runDir, 'evidence', `diverged-step-12-${oddId}.json`), 'utf8'));
    expect(evidence).toMatchObject({
      worker: { name: 'odd' },
      isIntact: false,
      differences: [{ count: 1, firstIndex: 0 }],
    });
    expect(readdirSync(logDirectory)).toContain(`diverged-step-12-${oddId}.jsonl`);
    expect((await runCoord(['audit', runDir])).code).toBe(0);
  });

  it('after the last step is repaired too', async () => {
    const { events } = await runWith(`wrong-update=${STEPS}`, 3);
    expect(weightsAtEnd(events)).toBe(reference);
    expect(events.filter(({ event }) => event === 'worker-repaired')).toMatchObject([{ step: STEPS }]);
  });

  it('because its update came out otherwise is repaired once, and expelled the second time', async () => {
    const { runDir, events, oddId, oddExit } = await runWith('wrong-update=12,20', 3);
    expect(weightsAtEnd(events)).toBe(reference);
    expect(events.filter(({ event }) => event === 'worker-repaired')).toContainEqual(
      expect.objectContaining({ workerId: oddId, step: 12, isIntact: true }),
    );
    expect(oddExit).toBe(7);
    expect(ledgerEntries(runDir)).toContainEqual(expect.objectContaining({ type: 'worker-lost', workerId: oddId }));
  });

  it('of two knows by itself that its memory changed', async () => {
    const { events, oddId } = await runWith('flip-weight=12', 2);
    expect(weightsAtEnd(events)).toBe(reference);
    expect(events.filter(({ event }) => event === 'worker-repaired')).toMatchObject([{ workerId: oddId }]);
  });

  it('of two, with nobody to say who is right, is found by computing again from what both agreed on', async () => {
    const { runDir, events, oddId } = await runWith('wrong-update=12', 2);
    expect(weightsAtEnd(events)).toBe(reference);
    expect(events.filter(({ event }) => event === 'worker-diverged')).toMatchObject([{ workerId: oddId, step: 12 }]);
    const steps = ledgerEntries(runDir).filter(({ type }) => type === 'step');
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, index) => index + 1));
    expect((await runCoord(['audit', runDir])).code).toBe(0);
  });
});
