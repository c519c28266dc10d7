/** Run specification: everything a worker must know to take part. Data, never code. */
import { z } from 'zod';
import { datasetManifestSchema, sha256Schema } from './dataset.js';
import { LIMITS } from './limits.js';
import { lossChoiceSchema } from './loss-spec.js';
import { metricSpecSchema } from './metric-spec.js';

const rate = z.number().min(0).max(1e6);
const unit = z.number().min(0).lt(1);

const beta1 = unit.describe('Decay of the running mean of gradients.').default(0.9);
const beta2 = unit.describe('Decay of the running mean of squared gradients.').default(0.999);
const epsilon = z.number().positive().describe('Added to the denominator, against division by zero.').default(1e-7);
const learningRate = rate.describe('Size of an update; the schedule multiplies it.');

export const optimizerSpecSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('sgd'), learningRate: learningRate.default(0.01) }),
  z.strictObject({
    name: z.literal('momentum'),
    learningRate: learningRate.default(0.01),
    momentum: unit.describe('Share of the last update that is kept.').default(0.9),
    nesterov: z.boolean().describe('Look ahead along the momentum.').default(false),
  }),
  z.strictObject({
    name: z.literal('rmsprop'),
    learningRate: learningRate.default(0.001),
    decay: unit.describe('Decay of the running mean of squared gradients.').default(0.9),
    momentum: unit.describe('Share of the last update that is kept.').default(0),
    epsilon,
    centered: z.boolean().describe("Divide by the gradients' variance, not by their mean square.").default(false),
  }),
  z.strictObject({ name: z.literal('adam'), learningRate: learningRate.default(0.001), beta1, beta2, epsilon }),
  z.strictObject({
    name: z.literal('adamw'),
    learningRate: learningRate.default(0.001),
    beta1,
    beta2,
    epsilon,
    weightDecay: z.number().min(0).describe('Decoupled weight decay a step, times the learning rate.').default(0.01),
  }),
]);
export type OptimizerSpec = z.infer<typeof optimizerSpecSchema>;

const warmup = {
  warmupSteps: z.number().int().min(0).describe('Steps over which the rate first rises linearly from 0.').default(0),
};
/** Learning-rate schedule: a factor on the optimizer's learning rate, a pure function of the step. */
export const scheduleSpecSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('constant'), ...warmup }),
  z.strictObject({
    name: z.literal('step'),
    everySteps: z.number().int().min(1).describe('Steps between two reductions.'),
    factor: z.number().positive().max(1).describe('What each reduction multiplies the rate by.').default(0.1),
    ...warmup,
  }),
  z.strictObject({
    name: z.literal('exponential'),
    decayPerStep: z.number().positive().max(1).describe('What every step multiplies the rate by.'),
    ...warmup,
  }),
  z.strictObject({
    name: z.literal('cosine'),
    decaySteps: z.number().int().min(1).optional().describe("Steps until the floor; the run's total where left out."),
    floor: z.number().min(0).max(1).describe('Factor that is left at the end.').default(0),
    ...warmup,
  }),
]);
export type ScheduleSpec = z.infer<typeof scheduleSpecSchema>;

export const regularizationSpecSchema = z.strictObject({
  l1: z.number().min(0).describe('Added to the gradient: l1 × the sign of the weight.').default(0),
  l2: z.number().min(0).describe('Added to the gradient: 2 × l2 × the weight.').default(0),
  clipGlobalNorm: z
    .number()
    .positive()
    .optional()
    .describe('Gradients are scaled down so that the norm over all of them is at most this.'),
});
export type RegularizationSpec = z.infer<typeof regularizationSpecSchema>;

/** What computes gradients; `auto` takes the first that works here, in the order of docs/engines.md. */
export const ENGINES = [
  'auto',
  'ort',
  'ort-webgpu',
  'ort-cuda',
  'tfjs-node-gpu',
  'tfjs-node',
  'tfjs-webgpu',
  'tfjs-cpu',
] as const;
export type EngineName = (typeof ENGINES)[number];

/** What travels: see docs/ring.md for what each keeps. */
export const WIRE_FORMATS = ['int32', 'int16', 'int8'] as const;
export type WireFormat = (typeof WIRE_FORMATS)[number];

export const ringSpecSchema = z.strictObject({
  overlap: z
    .enum(['auto', 'on', 'off'])
    .describe(
      'Reduce gradients while the rest of the backward pass computes: always, never, or where reducing takes more than a tenth of a step.',
    )
    .default('auto'),
  bucketBytes: z
    .number()
    .int()
    .min(1024)
    .max(2 ** 32)
    .describe('Gradients that are reduced as one while others compute, at least so many bytes.')
    .default(8 * 1024 * 1024),
  wire: z
    .enum(WIRE_FORMATS)
    .describe(
      'Integers that carry gradients: int16 and int8 take a half and a quarter of the bytes and keep fewer bits, so they change the weights.',
    )
    .default('int32'),
});
/** How gradients are reduced. Only `wire` changes what they add up to. */
export type RingSpec = z.infer<typeof ringSpecSchema>;

export const runSpecSchema = z.object({
  runId: z.string().min(1).max(LIMITS.nameLength),
  /** SHA-256 of what decides the weights: two runs of equal hash (and numeric identity) have equal weights. */
  configSha256: sha256Schema,
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  model: z.object({
    name: z.string().min(1).max(LIMITS.nameLength),
    /** tfjs layers topology as JSON text: `JSON.stringify(model.toJSON(null, false))`. */
    topology: z
      .string()
      .min(2)
      .max(4 * 1024 * 1024),
  }),
  loss: lossChoiceSchema,
  /** What is measured beside the loss; decides no weight. */
  metrics: z.array(metricSpecSchema).max(64).default([]),
  optimizer: optimizerSpecSchema,
  schedule: scheduleSpecSchema,
  regularization: regularizationSpecSchema,
  batch: z.object({ grains: z.number().int().min(1).max(65535), grainSize: z.number().int().min(1).max(1_000_000) }),
  epochs: z.number().int().min(1),
  maxSteps: z.number().int().min(1).optional(),
  evaluation: z.object({
    /** Samples of one evaluation batch; part of what decides the metrics' bits. */
    batchSize: z.number().int().min(1),
    everyEpochs: z.number().int().min(0),
  }),
  checkpoint: z.object({ everySteps: z.number().int().min(0), everyEpochs: z.number().int().min(0) }),
  engine: z.object({ name: z.enum(ENGINES), threads: z.number().int().min(1).max(1024) }),
  nonFinite: z.enum(['error', 'skip']),
  ring: ringSpecSchema.prefault({}),
  data: datasetManifestSchema,
});
export type RunSpec = z.infer<typeof runSpecSchema>;
