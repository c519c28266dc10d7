import { createHash } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createLayout,
  hashWeights,
  type RunSpec,
  runSpecSchema,
  type TrainingState,
  type WorkerMessageOf,
} from '@coord/protocol';

export const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

export const temporaryDirectory = (): Promise<string> => mkdtemp(join(tmpdir(), 'coord-coordinator-'));

export const BLOCK = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);

/** 64 samples, global batch 16: four steps an epoch, two epochs, eight steps. */
export function testRun(changes: Partial<RunSpec> = {}): RunSpec {
  return {
    ...runSpecSchema.parse({
      runId: 'test-run',
      configSha256: sha256('config'),
      seed: 7,
      model: { name: 'mlp', topology: '{}' },
      loss: 'categoricalCrossentropy',
      metrics: [{ name: 'accuracy', key: 'accuracy', ofAll: true, output: 0, kind: 'classes', classes: 4, places: 1 }],
      optimizer: { name: 'sgd' },
      schedule: { name: 'constant' },
      regularization: {},
      batch: { grains: 4, grainSize: 4 },
      epochs: 2,
      evaluation: { batchSize: 16, everyEpochs: 1 },
      checkpoint: { everySteps: 0, everyEpochs: 0 },
      engine: { name: 'auto', threads: 1 },
      nonFinite: 'error',
      ring: { overlap: 'auto', bucketBytes: 8 * 1024 * 1024, wire: 'int32' },
      data: {
        name: 'tiny',
        fields: [{ name: 'x', role: 'input', shape: [4], storage: 'uint8', dtype: 'float32' }],
        train: { samples: 64, samplesPerBlock: 64, blocks: [{ sha256: sha256(BLOCK), samples: 64, bytes: 1000 }] },
      },
    }),
    ...changes,
  };
}

export const LAST_STEP = 8;

const LAYOUT = createLayout([
  { name: 'dense/kernel', shape: [20, 30], role: 'trainable' },
  { name: 'dense/bias', shape: [30], role: 'trainable' },
]);

/** The one result that step can have in these tests. `fault` makes another one. */
export function stateAt(step: number, fault = 0): TrainingState {
  const weights = new Float32Array(LAYOUT.totalSize);
  for (const { offset, size } of LAYOUT.parameters) {
    for (let index = 0; index < size; index++) weights[offset + index] = step + index / 1024 + fault;
  }
  const momentum = weights.map((value) => value / 2);
  const exponents = new Uint8Array(LAYOUT.blockCount).fill(100 + step);
  return { step, layout: LAYOUT, weights, slots: new Map([['momentum', momentum]]), exponents };
}

export const hashAt = (step: number, fault = 0): string => hashWeights(LAYOUT, stateAt(step, fault).weights);

const TIMES = { loadMs: 1, computeMs: 5, waitMs: 1, ringMs: 2, optimizerMs: 1, totalMs: 10 };

export function stepReport(
  step: number,
  changes: Partial<WorkerMessageOf<'step-report'>> = {},
): WorkerMessageOf<'step-report'> {
  return {
    type: 'step-report',
    generation: 1,
    step,
    weightsSha256: hashAt(step),
    metrics: { loss: 16 / step, correct: 8, samples: 16 },
    ownSamples: 8,
    times: TIMES,
    skipped: false,
    requantised: false,
    ...changes,
  };
}
