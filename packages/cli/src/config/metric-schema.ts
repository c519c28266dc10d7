/** The `metrics` key: a list of names, or of names with options. */
import { AVERAGES, METRICS } from '@coord/protocol';
import { z } from 'zod';

const output = z
  .string()
  .min(1)
  .optional()
  .describe("Target whose output is measured, by the target's name; every output where left out.");
const average = z
  .enum(AVERAGES)
  .default('macro')
  .describe('macro: the mean over classes; micro: over all samples. Means nothing where the output is yes or no.');

const optionsSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('accuracy'), output }),
  z.strictObject({
    name: z.literal('topK'),
    output,
    k: z.number().int().min(1).max(1_000_000).describe('The target may be among so many largest outputs.').default(5),
  }),
  z.strictObject({ name: z.literal('precision'), output, average }),
  z.strictObject({ name: z.literal('recall'), output, average }),
  z.strictObject({ name: z.literal('f1'), output, average }),
  z.strictObject({ name: z.literal('confusionMatrix'), output }),
  z.strictObject({
    name: z.literal('auc'),
    output,
    bins: z
      .number()
      .int()
      .min(2)
      .max(65_536)
      .describe('Bins of the histograms that the area is taken from.')
      .default(200),
  }),
  z.strictObject({ name: z.literal('perplexity'), output }),
  z.strictObject({ name: z.literal('mse'), output }),
  z.strictObject({ name: z.literal('mae'), output }),
]);
export type MetricOptions = z.infer<typeof optionsSchema>;

export const metricsConfigSchema = z.array(z.union([z.enum(METRICS), optionsSchema])).max(32);
export type MetricsConfig = z.infer<typeof metricsConfigSchema>;

export const metricOptionsOf = (choice: MetricsConfig[number]): MetricOptions =>
  typeof choice === 'string' ? optionsSchema.parse({ name: choice }) : choice;
