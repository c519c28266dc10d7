/** Where a run's training starts: fresh weights, or the newest intact checkpoint of an earlier start. */
import { latestCheckpoint, loadCheckpoint, passedOver } from '@coord/checkpoint';
import { createOptimizer, initialWeights } from '@coord/engine';
import { type BatchPlan, CoordError, type RunSpec, type TrainingState, totalSteps } from '@coord/protocol';
import { canonicalJson, type PreparedRun } from './config/run-spec.js';
import type { RunConfig } from './config/schema.js';

export function createInitialState({ spec, modelWeights }: Pick<PreparedRun, 'spec' | 'modelWeights'>): TrainingState {
  const { layout, weights } = initialWeights(spec.model.topology, spec.seed, modelWeights);
  const { slotNames } = createOptimizer(spec.optimizer, layout);
  const slots = new Map(slotNames.map((name) => [name, new Float32Array(layout.totalSize)]));
  return { step: 0, layout, weights, slots, exponents: new Uint8Array(layout.blockCount) };
}

export const planOf = (spec: RunSpec): BatchPlan => ({ samples: spec.data.train.samples, ...spec.batch });
export const totalStepsOf = (spec: RunSpec): number => totalSteps(planOf(spec), spec.epochs, spec.maxSteps);

export interface ResumeOptions {
  readonly runDir: string;
  readonly prepared: Pick<PreparedRun, 'spec' | 'modelWeights'>;
  /** Configuration that the run was started with, and the one that it is to go on with. */
  readonly before: RunConfig;
  readonly now: RunConfig;
}

export interface ResumedState {
  readonly state: TrainingState;
  /** What its user must know of it. */
  readonly notes: readonly string[];
}

/**
 * State of the newest intact checkpoint; the initial one where the run ended before its first checkpoint.
 *
 * @throws CoordError CHECKPOINT_MISMATCH when the configuration now decides other weights, USAGE when the run is complete.
 */
export async function resumeState(options: ResumeOptions): Promise<ResumedState> {
  const { runDir, prepared } = options;
  const { spec } = prepared;
  const found = await latestCheckpoint(runDir);
  const notes = (await passedOver(runDir, found)).map(damagedNote);
  if (!found) return { state: createInitialState(prepared), notes };
  const { state, manifest } = await loadCheckpoint(found.path);
  if (manifest.configSha256 !== spec.configSha256) throw mismatch(options, found.path);
  if (state.step >= totalStepsOf(spec)) throw complete(runDir, state.step);
  return { state, notes };
}

const damagedNote = (path: string): string =>
  `the checkpoint ${path} is damaged and is passed over: the steps after the one before it are computed again`;

const DECIDING_KEYS = [
  'model',
  'data',
  'loss',
  'optimizer',
  'schedule',
  'regularization',
  'batch',
  'seed',
  'nonFinite',
] as const satisfies readonly (keyof RunConfig)[];

function mismatch({ runDir, before, now }: ResumeOptions, checkpoint: string): CoordError {
  const changed = DECIDING_KEYS.filter((key) => canonicalJson(before[key]) !== canonicalJson(now[key]));
  const why = changed.length === 0 ? 'the dataset or a model definition has changed' : `changed: ${changed.join(', ')}`;
  return new CoordError(
    'CHECKPOINT_MISMATCH',
    `${checkpoint} belongs to a run that would come to other weights (${why})`,
    {
      hint: 'Resume without changing what decides the weights, or start a new run.',
      facts: { runDir },
    },
  );
}

const complete = (runDir: string, step: number): CoordError =>
  new CoordError('USAGE', `the run in ${runDir} is complete: it has all of its ${step} steps`, {
    hint: 'To train it further, raise the number of epochs: --set epochs=…',
    facts: { runDir, step },
  });
