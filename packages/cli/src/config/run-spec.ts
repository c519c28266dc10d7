/** Configuration → run specification: the model becomes a topology, the dataset a manifest, and what decides the weights a hash. */
import { createHash } from 'node:crypto';
import { type PreparedDataset, prepareDataset } from '@coord/data';
import type { ModelFile } from '@coord/models';
import { type BatchPlan, type RunSpec, type ScheduleSpec, totalSteps } from '@coord/protocol';
import { requireBits } from '@coord/ring';
import { requireFit } from './fit.js';
import { resolveLosses } from './losses.js';
import { resolveMetrics } from './metrics.js';
import { describeModel } from './model.js';
import type { RunConfig } from './schema.js';

export interface RunSpecOptions {
  readonly runId: string;
  /** Directory that relative paths in the configuration start from. */
  readonly directory: string;
}

export interface PreparedRun {
  readonly spec: RunSpec;
  readonly dataset: PreparedDataset;
  /** In the order of the model's weights, where its file brings them. */
  readonly modelWeights?: ModelFile['weights'];
}

/**
 * @throws CoordError MODEL_*, DATASET_* when the model cannot be built or the samples cannot be read; CONFIG_INVALID when
 *   they do not fit each other.
 */
export async function toRunSpec(config: RunConfig, options: RunSpecOptions): Promise<PreparedRun> {
  const { name, topology, shapes, weights: modelWeights } = await describeModel(config.model, options.directory);
  const dataset = await prepareDataset(config.data, { directory: options.directory });
  const classesOf = shapes.outputs.map((shape) => shape.at(-1) ?? undefined);
  const loss = await resolveLosses(config.loss, classesOf, dataset);
  requireBits(config.ring.wire, config.batch.grains);
  requireFit(shapes, name, dataset.manifest, loss);
  const targets = dataset.manifest.fields.filter((field) => field.role === 'target');
  const outputs = loss.map((one, index) => ({ target: targets[index], loss: one, classes: classesOf[index] }));
  const decides = {
    seed: config.seed,
    model: { name, topology },
    loss,
    optimizer: config.optimizer,
    schedule: resolveSchedule(config, dataset.manifest.train.samples),
    regularization: config.regularization,
    batch: config.batch,
    nonFinite: config.nonFinite,
    ring: config.ring,
    data: dataset.manifest,
  };
  const spec: RunSpec = {
    ...decides,
    runId: options.runId,
    configSha256: configSha256(decides, modelWeights),
    metrics: resolveMetrics(config.metrics, outputs),
    epochs: config.epochs,
    maxSteps: config.maxSteps,
    evaluation: config.evaluation,
    checkpoint: { everySteps: config.checkpoint.everySteps, everyEpochs: config.checkpoint.everyEpochs },
    engine: config.engine,
  };
  return { spec, dataset, modelWeights };
}

/** A cosine that ends with the run gets that end written down, so that continuing with more epochs is a different run. */
function resolveSchedule(config: RunConfig, samples: number): ScheduleSpec {
  if (config.schedule.name !== 'cosine' || config.schedule.decaySteps !== undefined) return config.schedule;
  const plan: BatchPlan = { samples, ...config.batch };
  return { ...config.schedule, decaySteps: totalSteps(plan, config.epochs, config.maxSteps) };
}

type Deciding = Pick<
  RunSpec,
  'seed' | 'model' | 'loss' | 'optimizer' | 'schedule' | 'regularization' | 'batch' | 'nonFinite' | 'ring' | 'data'
>;

/** SHA-256 of what decides the weights, and of nothing else: not names, not paths, not how long or where the run goes. */
export function configSha256(run: Deciding, modelWeights?: ModelFile['weights']): string {
  const { fields, train } = run.data;
  const data = { fields, samples: train.samples, blocks: train.blocks.map((block) => block.sha256) };
  const { seed, model, loss, optimizer, schedule, regularization, batch, nonFinite, ring } = run;
  const decides = {
    seed,
    topology: model.topology,
    loss,
    optimizer,
    schedule,
    regularization,
    batch,
    nonFinite,
    // Left out where it is what it always was, so that earlier runs keep their hash.
    wire: ring.wire === 'int32' ? undefined : ring.wire,
    data,
    ...(modelWeights ? { modelWeights: weightsSha256(modelWeights) } : {}),
  };
  return createHash('sha256').update(canonicalJson(decides)).digest('hex');
}

function weightsSha256(weights: readonly Float32Array[]): string {
  const hash = createHash('sha256');
  for (const { buffer, byteOffset, byteLength } of weights) hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return hash.digest('hex');
}

/** JSON with sorted keys: equal values have equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
