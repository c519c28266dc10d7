/** `coord status` for people. */
import { z } from 'zod';
import { formatCount, formatDuration, formatRate, formatTable, plural } from './format.js';
import { metricTexts } from './metrics.js';

const metrics = z.object({
  loss: z.number().nullable(),
  accuracy: z.number().nullable(),
  metrics: z.record(z.string(), z.number().nullable()).default({}),
});
const workerSchema = z.object({
  name: z.string(),
  remote: z.string(),
  rank: z.number().nullable(),
  phase: z.string(),
  step: z.number(),
  share: z.number().nullable(),
  heartbeatAgeMs: z.number(),
  samplesPerSecond: z.number(),
});

const stragglerSchema = z.object({
  name: z.string(),
  factor: z.number(),
  extraMs: z.number(),
  forMs: z.number(),
  forSteps: z.number(),
});

/** What this command reads of a coordinator's status; there may be more in it. */
export const statusSchema = z.object({
  run: z.object({ runId: z.string(), epochs: z.number() }),
  model: z.string(),
  phase: z.string(),
  step: z.number(),
  totalSteps: z.number(),
  epoch: z.number(),
  view: z.object({ generation: z.number(), reason: z.string() }).nullable(),
  shortage: z.object({ reason: z.string() }).nullable().default(null),
  workers: z.array(workerSchema),
  stragglers: z.array(stragglerSchema).optional(),
  samplesPerSecond: z.number(),
  metrics: metrics.nullable(),
  weightsSha256: z.string(),
  evaluation: metrics.extend({ step: z.number() }).nullable(),
  checkpoint: z.object({ step: z.number(), path: z.string() }).nullable(),
  seconds: z.number(),
});
export type Status = z.infer<typeof statusSchema>;

const row = (label: string, value: string): string => `${label.padEnd(12)} ${value}`;

/** JSON has no NaN: it comes as null. */
const metricsText = ({ loss, ...values }: z.infer<typeof metrics>): string =>
  metricTexts({ ...values, loss: loss ?? Number.NaN }).join(', ');

export function formatStatus(status: Status): string {
  const { run, view, shortage, evaluation, checkpoint } = status;
  const lines = [
    row('run', `${run.runId} (${status.model}), ${status.phase} for ${formatDuration(status.seconds)}`),
    row(
      'step',
      `${formatCount(status.step)} of ${formatCount(status.totalSteps)}; ${status.epoch} of ${run.epochs} epochs complete`,
    ),
    row('speed', `${formatRate(status.samplesPerSecond)} samples/s`),
  ];
  if (status.metrics) lines.push(row('last step', metricsText(status.metrics)));
  if (evaluation)
    lines.push(row('evaluation', `${metricsText(evaluation)} after step ${formatCount(evaluation.step)}`));
  if (checkpoint) lines.push(row('checkpoint', `step ${formatCount(checkpoint.step)}, ${checkpoint.path}`));
  lines.push(row('weights', `SHA-256 ${status.weightsSha256}`));
  lines.push(row('view', view ? `generation ${view.generation}: ${view.reason}` : (shortage?.reason ?? 'none yet')));
  for (const straggler of status.stragglers ?? []) lines.push(row('straggler', stragglerText(straggler)));
  return [...lines, '', workerTable(status)].join('\n');
}

function stragglerText({ name, factor, extraMs, forMs, forSteps }: z.infer<typeof stragglerSchema>): string {
  const how = `${factor.toFixed(1)} × slower than the others, which wait ${formatDuration(extraMs / 1000)} a step for it`;
  return `${name}: ${how}; for ${formatDuration(forMs / 1000)} (${plural(forSteps, 'step')})`;
}

function workerTable({ workers }: Status): string {
  if (workers.length === 0) return 'no workers';
  const rows = workers.map((worker) => [
    worker.name,
    worker.rank === null ? '–' : String(worker.rank),
    worker.phase,
    String(worker.step),
    worker.share === null ? '–' : String(worker.share),
    formatRate(worker.samplesPerSecond),
    `${Math.round(worker.heartbeatAgeMs)} ms`,
    worker.remote,
  ]);
  return formatTable(['worker', 'rank', 'phase', 'step', 'share', 'samples/s', 'heard', 'from'], rows);
}
