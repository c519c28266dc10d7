/** Metrics of a run, as workers and coordinator know them: everything that their sums' layout and their values depend on. */
import { z } from 'zod';
import { LIMITS } from './limits.js';

export const METRICS = [
  'accuracy',
  'topK',
  'precision',
  'recall',
  'f1',
  'confusionMatrix',
  'auc',
  'perplexity',
  'mse',
  'mae',
] as const;
export type MetricName = (typeof METRICS)[number];

/** `macro`: the mean over classes; `micro`: over all places, whatever their class. */
export const AVERAGES = ['macro', 'micro'] as const;

/** A confusion matrix of more classes is no longer read by anybody. */
export const MAX_CONFUSION_CLASSES = 256;
/** Numbers that the tally of a run may have: they travel and are written down with every evaluation. */
export const MAX_TALLY_SIZE = 2 ** 17;

const ofOutput = {
  /** What its value is called in events, ledger and on screens; unique in the run. */
  key: z.string().min(1).max(LIMITS.nameLength),
  /** Number of the model's output. */
  output: z.number().int().min(0).max(63),
  kind: z.enum(['classes', 'yesNo', 'numbers']),
  /** Extent of the output's last axis where its kind is `classes`; else 1. */
  classes: z.number().int().min(1).max(1_000_000),
  /** Predictions that a sample holds: 1, or more where the output has further axes. */
  places: z.number().int().min(1),
};
const average = z.enum(AVERAGES);

export const metricSpecSchema = z.discriminatedUnion('name', [
  /** `ofAll`: the model has this output alone, so the engine's own count of right answers is that of the metric. */
  z.object({ name: z.literal('accuracy'), ofAll: z.boolean(), ...ofOutput }),
  z.object({ name: z.literal('topK'), k: z.number().int().min(1), ...ofOutput }),
  z.object({ name: z.literal('precision'), average, ...ofOutput }),
  z.object({ name: z.literal('recall'), average, ...ofOutput }),
  z.object({ name: z.literal('f1'), average, ...ofOutput }),
  z.object({ name: z.literal('confusionMatrix'), ...ofOutput }),
  z.object({ name: z.literal('auc'), bins: z.number().int().min(2).max(65_536), ...ofOutput }),
  z.object({ name: z.literal('perplexity'), ...ofOutput }),
  z.object({ name: z.literal('mse'), ...ofOutput }),
  z.object({ name: z.literal('mae'), ...ofOutput }),
]);
export type MetricSpec = z.infer<typeof metricSpecSchema>;
export type MetricOf<Name extends MetricName> = Extract<MetricSpec, { name: Name }>;
