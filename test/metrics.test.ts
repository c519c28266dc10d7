/**
 * Metrics have the same bits on any number of workers, in steps and evaluations, in events and ledger; and `coord eval`, one
 * process in a plain loop, comes to them again.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type CoordEvent, coord, endAll, runCoord, temporaryDirectory } from './support/coord.js';

afterEach(endAll);

interface Measured {
  readonly directory: string;
  readonly steps: unknown[];
  readonly evaluations: unknown[];
  readonly ledger: unknown[];
  readonly finished: CoordEvent;
}

const KEYS = ['top3', 'precision', 'recall', 'f1', 'perplexity', 'mse'];
const EVALUATION_KEYS = [...KEYS, 'auc', 'confusionMatrix'];

const measuredOf = ({ step, loss, accuracy, samples, metrics, weightsSha256 }: Record<string, unknown>) => ({
  step,
  loss,
  accuracy,
  samples,
  metrics,
  weightsSha256,
});

async function run(workers: number, ...more: string[]): Promise<Measured> {
  const directory = join(temporaryDirectory(), 'run');
  const args = [
    'start',
    'configs/synthetic-metrics.yaml',
    '--json',
    '--workers',
    String(workers),
    '--run-dir',
    directory,
  ];
  const process = coord([...args, ...more]);
  expect(await process.exited, process.stderr).toEqual({ code: 0, signal: null });
  const of = (event: string) => process.events.filter((one) => one.event === event).map(measuredOf);
  return {
    directory,
    steps: of('step'),
    evaluations: of('evaluation'),
    ledger: ledgerOf(directory),
    finished: process.events.at(-1) as CoordEvent,
  };
}

function ledgerOf(directory: string): unknown[] {
  const lines = readFileSync(join(directory, 'ledger.jsonl'), 'utf8').trim().split('\n');
  const entries = lines.map((line) => JSON.parse(line).record.entry as Record<string, unknown>);
  return entries.filter(({ type }) => type === 'step' || type === 'evaluation').map(measuredOf);
}

describe('the metrics of a run', () => {
  let alone: Measured;

  beforeAll(async () => {
    alone = await run(1);
  });

  it('stand in events, ledger and summary, all that were chosen', () => {
    const [step] = alone.steps as { metrics: object }[];
    const evaluation = alone.evaluations.at(-1) as { metrics: Record<string, unknown>; samples: number };
    expect(Object.keys(step.metrics).sort()).toEqual([...KEYS].sort());
    expect(Object.keys(evaluation.metrics).sort()).toEqual([...EVALUATION_KEYS].sort());
    const matrix = evaluation.metrics.confusionMatrix as number[][];
    expect(matrix.flat().reduce((sum, count) => sum + count, 0)).toBe(evaluation.samples);
    expect(alone.finished).toMatchObject({ testMetrics: evaluation.metrics });
    expect(alone.ledger).toEqual(expect.arrayContaining([...alone.steps, ...alone.evaluations]));
  });

  it.each([
    ['three processes', ['local=processes']],
    ['three threads', ['local=threads']],
    ['three processes that reduce while they compute', ['local=processes', 'ring.overlap=on', 'ring.bucketBytes=1024']],
  ])('are the same bits on %s', async (_, settings) => {
    const three = await run(3, ...settings.flatMap((setting) => ['--set', setting]));
    expect(three.steps).toEqual(alone.steps);
    expect(three.evaluations).toEqual(alone.evaluations);
    expect(three.ledger).toEqual(alone.ledger);
  });

  it('are those that coord eval comes to', async () => {
    const { code, stdout } = await runCoord(['eval', alone.directory, '--json']);
    expect(code).toBe(0);
    const { accuracy, loss, metrics } = alone.evaluations.at(-1) as Record<string, unknown>;
    expect(JSON.parse(stdout)).toMatchObject({ testAccuracy: accuracy, testLoss: loss, testMetrics: metrics });
  });

  it('are printed by coord eval, the confusion matrix as a table', async () => {
    const { stdout } = await runCoord(['eval', alone.directory]);
    expect(stdout).toMatch(/accuracy \d+\.\d\d % · loss \d\.\d{4} · top3 \d+\.\d\d % · precision/);
    expect(stdout).toContain('confusionMatrix (rows: the target, columns: what the model said)');
    expect(stdout.split('\n').filter((line) => /^\d( +\d+){8}$/.test(line))).toHaveLength(8);
  });
});
