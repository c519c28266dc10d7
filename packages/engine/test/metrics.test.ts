/** Every metric for every kind of output: both engines, training and evaluation, odd batches, and an oracle in plain loops. */
import { topologyOf } from '@coord/models';
import {
  addMetrics,
  type Batch,
  type LossName,
  type MetricSpec,
  type MetricValues,
  metricSpecSchema,
  metricValues,
  metricWords,
  OUTPUT_KINDS,
  type Purpose,
  readMetrics,
  tallyParts,
} from '@coord/protocol';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import type { Engine, StepSpec } from '../src/engine.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { metricOf, type Seen } from './metric-oracle.js';
import { inputField, labelField, numbersFrom, randomBatch, randomWeights, valueField } from './support.js';

const engine = await createOrtEngine({ threads: 1 });
const reference = createEagerEngine();

interface Case {
  readonly loss: LossName;
  readonly activation: 'softmax' | 'sigmoid' | 'linear';
  readonly fromLogits?: boolean;
  readonly soft?: boolean;
  readonly shape?: number[];
}

const CLASSES = 5;
const NAMES: Readonly<Record<'classes' | 'yesNo' | 'numbers', readonly object[]>> = {
  classes: [
    { name: 'topK', k: 2 },
    { name: 'topK', k: 3 },
    { name: 'precision', average: 'macro' },
    { name: 'recall', average: 'macro' },
    { name: 'f1', average: 'macro' },
    { name: 'f1', average: 'micro' },
    { name: 'confusionMatrix' },
    { name: 'auc', bins: 16 },
    { name: 'perplexity' },
    { name: 'mse' },
    { name: 'mae' },
  ],
  yesNo: [
    { name: 'precision', average: 'macro' },
    { name: 'recall', average: 'macro' },
    { name: 'f1', average: 'macro' },
    { name: 'confusionMatrix' },
    { name: 'auc', bins: 16 },
    { name: 'mse' },
    { name: 'mae' },
  ],
  numbers: [{ name: 'mse' }, { name: 'mae' }],
};

const CASES: [string, Case][] = [
  ['labels', { loss: 'categoricalCrossentropy', activation: 'softmax' }],
  ['labels of sequences', { loss: 'sparseCategoricalCrossentropy', activation: 'softmax', shape: [3] }],
  ['labels, from logits', { loss: 'categoricalCrossentropy', activation: 'linear', fromLogits: true }],
  ['labels, from probabilities that stay', { loss: 'klDivergence', activation: 'softmax' }],
  ['one-hot targets', { loss: 'categoricalCrossentropy', activation: 'softmax', soft: true }],
  ['yes or no', { loss: 'binaryCrossentropy', activation: 'sigmoid' }],
  ['yes or no, from logits', { loss: 'binaryCrossentropy', activation: 'linear', fromLogits: true }],
  ['numbers', { loss: 'huber', activation: 'linear' }],
];

const metricsOf = ({ loss, shape = [] }: Case): MetricSpec[] => {
  const kind = OUTPUT_KINDS[loss];
  const places = shape.reduce((product, extent) => product * extent, 1) * (kind === 'classes' ? 1 : CLASSES);
  const common = { output: 0, kind, classes: kind === 'classes' ? CLASSES : 1, places };
  const accuracy = { name: 'accuracy', ofAll: false };
  return [...(kind === 'numbers' ? [] : [accuracy]), ...NAMES[kind]].map((own, index) =>
    metricSpecSchema.parse({ ...own, ...common, key: `m${index}` }),
  );
};

function specOf(one: Case): StepSpec {
  const shape = one.shape ?? [];
  const layers = [
    tfl.layers.dense({ name: 'a', units: 6, activation: 'tanh', inputShape: [...shape, 5] }),
    tfl.layers.dense({ name: 'b', units: CLASSES, activation: one.activation }),
  ];
  const isLabelled = OUTPUT_KINDS[one.loss] === 'classes' && !one.soft;
  const options = one.fromLogits ? { fromLogits: true, labelSmoothing: 0, weight: 1 } : undefined;
  return {
    topology: topologyOf(tfl.sequential({ layers })),
    loss: options ? ({ name: one.loss, ...options } as StepSpec['loss']) : one.loss,
    metrics: metricsOf(one),
    inputs: [inputField([...shape, 5])],
    targets: [isLabelled ? { ...labelField, shape } : valueField([...shape, CLASSES])],
    seed: 1,
  };
}

function batchOf(one: Case, spec: StepSpec, count: number, seed: number): Batch {
  const batch = randomBatch(spec, count, seed, CLASSES);
  const next = numbersFrom(seed + 100);
  const [target] = batch.targets;
  if (OUTPUT_KINDS[one.loss] === 'yesNo') for (let at = 0; at < target.length; at++) target[at] = next() < 0.4 ? 1 : 0;
  if (one.soft) {
    target.fill(0);
    for (let row = 0; row < target.length; row += CLASSES) target[row + Math.floor(next() * CLASSES)] = 1;
  }
  return batch;
}

const finish = ({ fromLogits, loss }: Case, output: number[]): number[] => {
  if (!fromLogits) return output;
  if (OUTPUT_KINDS[loss] === 'yesNo') return output.map((logit) => 1 / (1 + Math.exp(-logit)));
  const exponentials = output.map(Math.exp);
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
};

/** What the oracle sees of batches: final outputs by `predict`, and the targets. */
function seenOf(one: Case, batches: readonly Batch[], predictions: readonly Float32Array[]): Seen {
  const width = OUTPUT_KINDS[one.loss] === 'classes' ? CLASSES : 1;
  const cut = (values: ArrayLike<number>) =>
    Array.from({ length: values.length / width }, (_, row) => Array.from(values).slice(row * width, (row + 1) * width));
  const rows = predictions.flatMap((values) => cut(values).map((output) => finish(one, output)));
  const targets = batches.flatMap(({ targets: [target] }) =>
    target instanceof Int32Array
      ? [...target].map((label) => Array.from({ length: width }, (_, at) => Number(at === label)))
      : cut(target),
  );
  return { outputs: rows, targets };
}

async function measure(on: Engine, spec: StepSpec, weights: Float32Array, batches: readonly Batch[], purpose: Purpose) {
  const step = await on.compile(spec);
  const parts = tallyParts(spec.metrics ?? [], purpose);
  const words = new Int32Array(metricWords(parts));
  const gradient = new Float32Array(step.layout.totalSize);
  const predictions: Float32Array[] = [];
  for (const [grain, batch] of batches.entries()) {
    const sums =
      purpose === 'evaluation'
        ? await step.evaluate(weights, batch)
        : await step.gradient(weights, batch, { step: 0, grain }, gradient);
    addMetrics(sums, words, parts);
    predictions.push((await step.predict(weights, batch.inputs, batch.count))[0]);
  }
  step.dispose();
  return { values: metricValues(spec.metrics ?? [], readMetrics(words, parts), purpose), predictions };
}

function expectAgreement(metrics: readonly MetricSpec[], values: MetricValues, seen: Seen): void {
  for (const metric of metrics) {
    const expected = metricOf(metric, seen);
    const actual = values.metrics[metric.key];
    if (typeof expected === 'number') expect(actual, metric.name).toBeCloseTo(expected, 4);
    else expect(actual, metric.name).toEqual(expected);
  }
}

describe('metrics', () => {
  it.each(CASES)('of %s agree with both engines and the oracle', async (_, one) => {
    const spec = specOf(one);
    const weights = randomWeights(spec.topology, 4);
    const batches = [7, 13].map((count, index) => batchOf(one, spec, count, 20 + index));
    const metrics = spec.metrics ?? [];
    for (const on of [engine, reference]) {
      const { values, predictions } = await measure(on, spec, weights, batches, 'evaluation');
      expect(Object.keys(values.metrics)).toEqual(metrics.map(({ key }) => key));
      expectAgreement(metrics, values, seenOf(one, batches, predictions));
    }
  });

  it.each(CASES)('of %s are the same in training steps, but for matrices and AUC', async (_, one) => {
    const spec = specOf(one);
    const weights = randomWeights(spec.topology, 4);
    const batches = [batchOf(one, spec, 7, 20)];
    const isOfSteps = ({ name }: MetricSpec) => name !== 'confusionMatrix' && name !== 'auc';
    for (const on of [engine, reference]) {
      const { values, predictions } = await measure(on, spec, weights, batches, 'training');
      const measured = (spec.metrics ?? []).filter(isOfSteps);
      expect(Object.keys(values.metrics)).toEqual(measured.map(({ key }) => key));
      expectAgreement(measured, values, seenOf(one, batches, predictions));
    }
  });

  it('leave a step without them as it is: nothing is tallied, no output is read', async () => {
    const spec = { ...specOf(CASES[0][1]), metrics: [] };
    const step = await engine.compile(spec);
    const batch = batchOf(CASES[0][1], spec, 7, 1);
    const sums = await step.gradient(
      randomWeights(spec.topology, 4),
      batch,
      { step: 0, grain: 0 },
      new Float32Array(step.layout.totalSize),
    );
    expect(Object.keys(sums)).toEqual(['loss', 'correct', 'samples']);
  });

  it('do not change a gradient by a bit', async () => {
    const spec = specOf(CASES[0][1]);
    const weights = randomWeights(spec.topology, 4);
    const batch = batchOf(CASES[0][1], spec, 7, 1);
    const gradients = await Promise.all(
      [spec, { ...spec, metrics: [] }].map(async (each) => {
        const step = await engine.compile(each);
        const out = new Float32Array(step.layout.totalSize);
        await step.gradient(weights, batch, { step: 0, grain: 0 }, out);
        return out;
      }),
    );
    expect(gradients[0]).toEqual(gradients[1]);
  });
});

describe('a model of several outputs', () => {
  const input = tfl.input({ shape: [5] });
  const trunk = tfl.layers.dense({ name: 'trunk', units: 6, activation: 'tanh' }).apply(input) as tfl.SymbolicTensor;
  const kind = tfl.layers.dense({ name: 'kind', units: CLASSES, activation: 'softmax' }).apply(trunk);
  const size = tfl.layers.dense({ name: 'size', units: 2 }).apply(trunk);
  const topology = topologyOf(tfl.model({ inputs: input, outputs: [kind, size] as tfl.SymbolicTensor[] }));
  const of = (output: number) =>
    output === 0
      ? { output, kind: 'classes' as const, classes: CLASSES, places: 1 }
      : { output, kind: 'numbers' as const, classes: 1, places: 2 };
  const spec = (weight: number): StepSpec => ({
    topology,
    loss: ['categoricalCrossentropy', { name: 'meanAbsoluteError', weight }],
    metrics: [
      { name: 'accuracy', ofAll: false, key: 'kind.accuracy', ...of(0) },
      { name: 'mae', key: 'size.mae', ...of(1) },
    ],
    inputs: [inputField([5])],
    targets: [labelField, { ...valueField([2]), name: 'size' }],
    seed: 1,
  });

  it('has a loss, a weight and metrics for each', async () => {
    const weights = randomWeights(topology, 3);
    const batch = randomBatch(spec(1), 9, 2, CLASSES);
    for (const on of [engine, reference]) {
      const [once, thrice] = await Promise.all(
        [1, 3].map((weight) => measure(on, spec(weight), weights, [batch], 'training')),
      );
      const { metrics } = once.values;
      expect(metrics).toEqual(thrice.values.metrics);
      // Twice the error more, per sample.
      expect(thrice.values.loss - once.values.loss).toBeCloseTo(2 * (metrics['size.mae'] as number), 4);
      const hits = metrics['kind.accuracy'] as number;
      expect(hits * 9).toBeCloseTo(Math.round(hits * 9), 9);
    }
  });

  it('refuses another number of losses', async () => {
    await expect(engine.compile({ ...spec(1), loss: ['huber', 'huber', 'huber'] })).rejects.toMatchObject({
      code: 'LOSS_INVALID',
      message: 'there are 3 losses for the 2 outputs of the model',
    });
  });
});
