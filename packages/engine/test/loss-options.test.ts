/** Every loss with every option: both engines, training and evaluation, an odd batch, and an oracle in plain loops. */
import { topologyOf } from '@coord/models';
import { type Batch, type LossName, type LossSpec, lossSpecSchema, OUTPUT_KINDS } from '@coord/protocol';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import type { Engine, StepSpec } from '../src/engine.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { lossOfPlace } from './loss-oracle.js';
import {
  gradientOf,
  inputField,
  labelField,
  numbersFrom,
  randomBatch,
  randomWeights,
  valueField,
  worstDifference,
} from './support.js';

const engine = await createOrtEngine({ threads: 1 });
const reference = createEagerEngine();

const CLASSES = 4;
const COUNT = 7;

interface Case {
  readonly loss: LossSpec;
  /** Sequences of this many places, a label each; one place a sample where left out. */
  readonly places?: number;
  /** Targets are distributions, not labels. */
  readonly soft?: boolean;
  readonly weighted?: boolean;
}

const loss = (name: LossName, options: object = {}): LossSpec => lossSpecSchema.parse({ name, ...options });
const WEIGHTS = [0.5, 2, 1, 3];

const CASES: [string, Case][] = [
  ['categoricalCrossentropy', { loss: loss('categoricalCrossentropy') }],
  ['… smoothed', { loss: loss('categoricalCrossentropy', { labelSmoothing: 0.2 }) }],
  ['… from logits', { loss: loss('categoricalCrossentropy', { fromLogits: true }) }],
  ['… from logits, smoothed', { loss: loss('categoricalCrossentropy', { fromLogits: true, labelSmoothing: 0.1 }) }],
  ['… with class weights', { loss: loss('categoricalCrossentropy', { classWeights: WEIGHTS }) }],
  ['… with sample weights', { loss: loss('categoricalCrossentropy'), weighted: true }],
  [
    '… of sequences, with all weights',
    { loss: loss('categoricalCrossentropy', { classWeights: WEIGHTS }), weighted: true, places: 3 },
  ],
  [
    '… of distributions, smoothed, with class weights',
    { loss: loss('categoricalCrossentropy', { labelSmoothing: 0.3, classWeights: WEIGHTS }), soft: true },
  ],
  [
    'sparseCategoricalCrossentropy',
    { loss: loss('sparseCategoricalCrossentropy', { classWeights: WEIGHTS }), places: 2 },
  ],
  ['… from logits (sparse)', { loss: loss('sparseCategoricalCrossentropy', { fromLogits: true }) }],
  ['binaryCrossentropy', { loss: loss('binaryCrossentropy') }],
  ['… smoothed (binary)', { loss: loss('binaryCrossentropy', { labelSmoothing: 0.2 }) }],
  ['… from logits (binary)', { loss: loss('binaryCrossentropy', { fromLogits: true }) }],
  [
    '… with all weights (binary)',
    { loss: loss('binaryCrossentropy', { classWeights: [0.5, 3], labelSmoothing: 0.1 }), weighted: true },
  ],
  ['meanSquaredError', { loss: loss('meanSquaredError', { weight: 0.25 }), weighted: true }],
  ['meanAbsoluteError', { loss: loss('meanAbsoluteError'), weighted: true }],
  ['huber', { loss: loss('huber', { delta: 0.3 }), weighted: true }],
  ['logCosh', { loss: loss('logCosh'), weighted: true }],
  ['poisson', { loss: loss('poisson'), weighted: true }],
  ['hinge', { loss: loss('hinge', { classWeights: [1, 2] }), weighted: true }],
  ['squaredHinge', { loss: loss('squaredHinge', { classWeights: [1, 2] }) }],
  ['categoricalHinge', { loss: loss('categoricalHinge', { classWeights: WEIGHTS }), weighted: true }],
  ['klDivergence', { loss: loss('klDivergence', { classWeights: WEIGHTS }), soft: true, weighted: true }],
  ['cosineProximity', { loss: loss('cosineProximity', { weight: 2 }), weighted: true }],
];

const endsInProbabilities = ({ loss: spec }: Case): boolean =>
  !('fromLogits' in spec && spec.fromLogits) && !spec.name.toLowerCase().includes('hinge');

function activationOf(one: Case): 'softmax' | 'sigmoid' | 'linear' {
  if (one.loss.name === 'poisson') return 'sigmoid';
  if (!endsInProbabilities(one) || OUTPUT_KINDS[one.loss.name] === 'numbers') return 'linear';
  return OUTPUT_KINDS[one.loss.name] === 'classes' ? 'softmax' : 'sigmoid';
}

function specOf(one: Case): StepSpec {
  const shape = one.places === undefined ? [] : [one.places];
  const layers = [
    tfl.layers.dense({ name: 'a', units: 6, activation: 'tanh', inputShape: [...shape, 5] }),
    tfl.layers.dense({ name: 'b', units: CLASSES, activation: activationOf(one) }),
  ];
  const isLabelled = OUTPUT_KINDS[one.loss.name] === 'classes' && !one.soft;
  return {
    topology: topologyOf(tfl.sequential({ layers })),
    loss: [one.loss],
    inputs: [inputField([...shape, 5])],
    targets: [isLabelled ? { ...labelField, shape } : valueField([...shape, CLASSES])],
    isWeighted: one.weighted === true,
    seed: 1,
  };
}

function batchOf(one: Case, spec: StepSpec): Batch {
  const batch = randomBatch(spec, COUNT, 2, CLASSES);
  const next = numbersFrom(8);
  const kind = OUTPUT_KINDS[one.loss.name];
  batch.targets[0].forEach((_, at, all) => {
    if (kind === 'yesNo') all[at] = next() < 0.5 ? 0 : 1;
    else if (one.soft || one.loss.name === 'poisson') all[at] = next();
  });
  if (!one.weighted) return batch;
  return {
    ...batch,
    sampleWeights: Float32Array.from({ length: COUNT }, (_, index) => (index === 2 ? 0 : 0.5 + next())),
  };
}

/** The summed loss of a batch, from the final outputs. */
function oracle(one: Case, batch: Batch, outputs: Float32Array): number {
  const { loss: spec, places = 1 } = one;
  const classWeights = 'classWeights' in spec ? spec.classWeights : undefined;
  const kind = OUTPUT_KINDS[spec.name];
  let sum = 0;
  for (let sample = 0; sample < COUNT; sample++) {
    let ofSample = 0;
    for (let place = sample * places; place < (sample + 1) * places; place++) {
      const output = [...outputs.subarray(place * CLASSES, (place + 1) * CLASSES)];
      const target = targetOf(batch, place);
      if (kind === 'yesNo') {
        // Each element is a place of its own.
        const weightOf = (wanted: number) => classWeights?.[wanted] ?? 1;
        ofSample +=
          output.reduce(
            (total, value, at) => total + weightOf(target[at]) * lossOfPlace(spec, [value], [target[at]]),
            0,
          ) / CLASSES;
      } else {
        const label = target.indexOf(Math.max(...target));
        ofSample += (classWeights?.[label] ?? 1) * lossOfPlace(spec, output, target);
      }
    }
    sum += (ofSample / places) * (batch.sampleWeights?.[sample] ?? 1);
  }
  return sum * spec.weight;
}

function targetOf({ targets: [target] }: Batch, place: number): number[] {
  if (target instanceof Float32Array) return [...target.subarray(place * CLASSES, (place + 1) * CLASSES)];
  return Array.from({ length: CLASSES }, (_, label) => (label === target[place] ? 1 : 0));
}

/** Final outputs: the softmax or sigmoid of a model that ends in logits is applied here. */
function finished(one: Case, outputs: Float32Array): Float32Array {
  if (endsInProbabilities(one) || !('fromLogits' in one.loss)) return outputs;
  if (OUTPUT_KINDS[one.loss.name] === 'yesNo') return outputs.map((logit) => 1 / (1 + Math.exp(-logit)));
  const exponentials = outputs.map(Math.exp);
  return exponentials.map((value, at) => {
    const first = at - (at % CLASSES);
    return value / exponentials.subarray(first, first + CLASSES).reduce((sum, other) => sum + other, 0);
  });
}

async function evaluated(on: Engine, spec: StepSpec, weights: Float32Array, batch: Batch) {
  const step = await on.compile(spec);
  const sums = await step.evaluate(weights, batch);
  const [outputs] = await step.predict(weights, batch.inputs, batch.count);
  step.dispose();
  return { sums, outputs };
}

describe('losses with their options', () => {
  it.each(CASES)('%s', async (_, one) => {
    const spec = specOf(one);
    const weights = randomWeights(spec.topology, 4);
    const batch = batchOf(one, spec);
    const expected = await gradientOf(reference, spec, weights, batch);
    const actual = await gradientOf(engine, spec, weights, batch);
    expect(worstDifference(expected.layout, expected.gradient, actual.gradient).error).toBeLessThan(1e-5);
    const { sums, outputs } = await evaluated(engine, spec, weights, batch);
    const onReference = await evaluated(reference, spec, weights, batch);
    const wanted = oracle(one, batch, finished(one, outputs));
    const tolerance = 1e-5 * Math.max(1, Math.abs(wanted));
    for (const found of [actual.loss, expected.loss, sums.loss, onReference.sums.loss]) {
      expect(Math.abs(found - wanted)).toBeLessThan(tolerance);
    }
    expect(sums.correct).toBeCloseTo(onReference.sums.correct, 5);
  });

  it('scale gradients by sample weights: twice the weight is twice the gradient', async () => {
    const spec = specOf(CASES[5][1]);
    const weights = randomWeights(spec.topology, 4);
    const batch = { ...randomBatch(spec, COUNT, 2), sampleWeights: new Float32Array(COUNT).fill(1) };
    const once = await gradientOf(engine, spec, weights, batch);
    const twice = await gradientOf(engine, spec, weights, {
      ...batch,
      sampleWeights: batch.sampleWeights.map(() => 2),
    });
    const unweighted = await gradientOf(engine, { ...spec, isWeighted: false }, weights, batch);
    expect(worstDifference(once.layout, once.gradient, unweighted.gradient).error).toBeLessThan(1e-6);
    expect(
      worstDifference(
        once.layout,
        once.gradient.map((g) => 2 * g),
        twice.gradient,
      ).error,
    ).toBeLessThan(1e-6);
  });

  it('gradients agree with finite differences in float64 of the oracle', async () => {
    const one: Case = {
      loss: loss('categoricalCrossentropy', { labelSmoothing: 0.2, classWeights: WEIGHTS }),
      weighted: true,
    };
    const layers = [
      tfl.layers.dense({ name: 'b', units: CLASSES, useBias: false, activation: 'softmax', inputShape: [2] }),
    ];
    const spec: StepSpec = {
      ...specOf(one),
      topology: topologyOf(tfl.sequential({ layers })),
      inputs: [inputField([2])],
    };
    const batch = batchOf(one, spec);
    const weights = randomWeights(spec.topology, 3);
    const { gradient } = await gradientOf(engine, spec, weights, batch);
    const lossAt = (kernel: Float64Array): number => {
      const logits = new Float64Array(COUNT * CLASSES);
      for (let at = 0; at < logits.length; at++) {
        const [sample, unit] = [Math.floor(at / CLASSES), at % CLASSES];
        for (let x = 0; x < 2; x++) logits[at] += batch.inputs[0][sample * 2 + x] * kernel[x * CLASSES + unit];
      }
      const exponentials = logits.map(Math.exp);
      const outputs = exponentials.map((value, at) => {
        const first = at - (at % CLASSES);
        return value / exponentials.subarray(first, first + CLASSES).reduce((sum, other) => sum + other, 0);
      });
      return oracle(one, batch, outputs as unknown as Float32Array);
    };
    const kernel = Float64Array.from(weights.subarray(0, 2 * CLASSES));
    kernel.forEach((value, at) => {
      const moved = (by: number) => lossAt(kernel.map((other, index) => (index === at ? value + by : other)));
      expect(gradient[at]).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 4);
    });
  });

  it.each([
    [
      'logits that are none',
      { loss: loss('categoricalCrossentropy', { fromLogits: true }) },
      'softmax',
      /would be applied twice/,
    ],
    [
      'class weights of another number',
      { loss: loss('categoricalCrossentropy', { classWeights: [1, 2] }) },
      'softmax',
      /2 class weights for 4/,
    ],
    [
      'distributions for sparse labels',
      { loss: loss('sparseCategoricalCrossentropy'), soft: true },
      'softmax',
      /wants integer labels/,
    ],
  ] as const)('refuse %s', async (_, one, activation, message) => {
    const layers = [tfl.layers.dense({ name: 'b', units: CLASSES, activation, inputShape: [5] })];
    const spec = { ...specOf(one), topology: topologyOf(tfl.sequential({ layers })) };
    await expect(engine.compile(spec)).rejects.toMatchObject({
      code: 'LOSS_INVALID',
      message: expect.stringMatching(message),
    });
  });
});
