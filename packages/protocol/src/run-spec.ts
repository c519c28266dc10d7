/** Run specification: everything a worker must know to take part. Data, never code. */
import { z } from 'zod';
import { datasetManifestSchema, sha256Schema } from './dataset.js';
import { LIMITS } from './limits.js';

const rate = z.number().min(0).max(1e6);
const unit = z.number().min(0).lt(1);

export const optimizerSpecSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('sgd'), learningRate: rate.default(0.01) }),
  z.strictObject({
    name: z.literal('momentum'),
    learningRate: rate.default(0.01),
    momentum: unit.default(0.9),
    nesterov: z.boolean().default(false),
  }),
  z.strictObject({
    name: z.literal('rmsprop'),
    learningRate: rate.default(0.001),
    decay: unit.default(0.9),
    momentum: unit.default(0),
    epsilon: z.number().positive().default(1e-7),
    centered: z.boolean().default(false),
  }),
  z.strictObject({
    name: z.literal('adam'),
    learningRate: rate.default(0.001),
    beta1: unit.default(0.9),
    beta2: unit.default(0.999),
    epsilon: z.number().positive().default(1e-7),
  }),
  z.strictObject({
    name: z.literal('adamw'),
    learningRate: rate.default(0.001),
    beta1: unit.default(0.9),
    beta2: unit.default(0.999),
    epsilon: z.number().positive().default(1e-7),
    weightDecay: z.number().min(0).default(0.01),
  }),
]);
export type OptimizerSpec = z.infer<typeof optimizerSpecSchema>;

const warmup = { warmupSteps: z.number().int().min(0).default(0) };
/** Learning-rate schedule: a factor on the optimizer's learning rate, a pure function of the step. */
export const scheduleSpecSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('constant'), ...warmup }),
  z.strictObject({
    name: z.literal('step'),
    everySteps: z.number().int().min(1),
    factor: z.number().positive().max(1).default(0.1),
    ...warmup,
  }),
  z.strictObject({ name: z.literal('exponential'), decayPerStep: z.number().positive().max(1), ...warmup }),
  z.strictObject({
    name: z.literal('cosine'),
    /** Steps until the floor; the run's total where it is left out. */
    decaySteps: z.number().int().min(1).optional(),
    floor: z.number().min(0).max(1).default(0),
    ...warmup,
  }),
]);
export type ScheduleSpec = z.infer<typeof scheduleSpecSchema>;

export const regularizationSpecSchema = z.strictObject({
  l1: z.number().min(0).default(0),
  l2: z.number().min(0).default(0),
  clipGlobalNorm: z.number().positive().optional(),
});
export type RegularizationSpec = z.infer<typeof regularizationSpecSchema>;

export const LOSSES = ['categoricalCrossentropy', 'meanSquaredError'] as const;
export const ENGINES = ['auto', 'ort', 'tfjs-cpu'] as const;
export type EngineName = (typeof ENGINES)[number];

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
  loss: z.enum(LOSSES),
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
  data: datasetManifestSchema,
});
export type RunSpec = z.infer<typeof runSpecSchema>;
