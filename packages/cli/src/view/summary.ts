/** The end of a run: one object for scripts, a few lines for people. */
import type { RunResult } from '@coord/coordinator';
import type { MetricValues } from '@coord/protocol';
import { formatDuration, formatLoss, formatPercent, formatRate, plural } from './format.js';
import { metricRows } from './metrics.js';
import type { Plan } from './progress.js';

/** The last line of `--json`. */
export interface FinishedLine {
  readonly event: 'finished';
  readonly steps: number;
  readonly epochs: number;
  /** Of the last evaluation; null where there was none. */
  readonly testAccuracy: number | null;
  readonly testLoss: number | null;
  /** The run's further metrics by their keys. */
  readonly testMetrics: MetricValues['metrics'] | null;
  readonly weightsSha256: string;
  /** Over the whole run, evaluations included. */
  readonly samplesPerSecond: number;
  readonly seconds: number;
  readonly workers: number;
  readonly runDir: string;
  readonly stopped: boolean;
  readonly checkpoint: string | null;
}

export function finishedLine(result: RunResult, runDir: string): FinishedLine {
  return {
    event: 'finished',
    steps: result.step,
    epochs: result.epoch,
    testAccuracy: result.testMetrics?.accuracy ?? null,
    testLoss: result.testMetrics?.loss ?? null,
    testMetrics: result.testMetrics?.metrics ?? null,
    weightsSha256: result.weightsSha256,
    samplesPerSecond: result.seconds > 0 ? result.samples / result.seconds : 0,
    seconds: result.seconds,
    workers: result.workers,
    runDir,
    stopped: result.stopped,
    checkpoint: result.checkpointPath ?? null,
  };
}

const row = (label: string, value: string, width = 12): string => `  ${label.padEnd(width)} ${value}`;

export function summaryLines(line: FinishedLine, plan: Plan): string[] {
  const perWorker = line.samplesPerSecond / Math.max(1, line.workers);
  const title = line.stopped ? 'stopped' : 'finished';
  const lines = [`${title} after ${plural(line.steps, 'step')}, ${plural(line.epochs, 'whole epoch')}`];
  if (line.testAccuracy !== null) lines.push(row('accuracy', `${formatPercent(line.testAccuracy)} on the test split`));
  if (line.testLoss !== null) lines.push(row('loss', `${formatLoss(line.testLoss)} on the test split`));
  const further = metricRows({ metrics: line.testMetrics ?? {} });
  const width = Math.max(12, ...further.map(([key]) => key.length));
  return [
    ...lines,
    ...further.map(([key, value]) => row(key, `${value} on the test split`, width)),
    row('time', formatDuration(line.seconds)),
    row(
      'speed',
      `${formatRate(line.samplesPerSecond)} ${plan.noun}/s in all, ${formatRate(perWorker)} for each of ${plural(line.workers, 'worker')}`,
    ),
    row('run', line.runDir),
    row('weights', `SHA-256 ${line.weightsSha256}`),
  ];
}
