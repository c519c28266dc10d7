import { topologyOf } from '@coord/models';
import { LOSSES, type LossName, OUTPUT_KINDS } from '@coord/protocol';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import type { StepSpec } from '../src/engine.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
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

const ofClasses = (loss: StepSpec['loss']): boolean => OUTPUT_KINDS[loss as LossName] === 'classes';

function specOf(
  loss: StepSpec['loss'],
  activation: 'softmax' | 'sigmoid' | 'linear',
  targets: StepSpec['targets'],
): StepSpec {
  const units = targets[0].shape.length === 0 && !ofClasses(loss) ? 1 : 4;
  const layers = [
    tfl.layers.dense({ name: 'a', units: 6, activation: 'tanh', inputShape: [5] }),
    tfl.layers.dense({ name: 'b', units, activation }),
  ];
  return { topology: topologyOf(tfl.sequential({ layers })), loss, inputs: [inputField([5])], targets, seed: 1 };
}

const CASES = [
  ['categoricalCrossentropy', 'softmax', labelField],
  ['categoricalCrossentropy', 'softmax', valueField([4])],
  ['categoricalCrossentropy', 'sigmoid', labelField],
  ['binaryCrossentropy', 'sigmoid', valueField([4])],
  ['binaryCrossentropy', 'sigmoid', labelField],
  ['binaryCrossentropy', 'softmax', valueField([4])],
  ['meanSquaredError', 'linear', valueField([4])],
  ['meanAbsoluteError', 'linear', valueField([4])],
  ['huber', 'linear', valueField([4])],
  ['hinge', 'linear', labelField],
  ['klDivergence', 'softmax', valueField([4])],
  ['cosineProximity', 'linear', valueField([4])],
  ['sparseCategoricalCrossentropy', 'softmax', labelField],
  ['squaredHinge', 'linear', labelField],
  ['categoricalHinge', 'linear', labelField],
  ['logCosh', 'linear', valueField([4])],
  ['poisson', 'sigmoid', valueField([4])],
] as const;

describe('losses', () => {
  it('are all covered here', () => {
    expect(new Set(CASES.map(([loss]) => loss))).toEqual(new Set(LOSSES));
  });

  it.each(CASES)('%s of %s has the same gradients on both engines', async (loss, activation, target) => {
    const spec = specOf(loss, activation, [target]);
    const weights = randomWeights(spec.topology, 4);
    const next = numbersFrom(8);
    const batch = randomBatch(spec, 7, 2, ofClasses(loss) ? 4 : 2);
    // Targets that are probabilities, not values in [-1, 1).
    if (activation !== 'linear' && target.dtype === 'float32')
      batch.targets[0].forEach((_, at, all) => {
        all[at] = next();
      });
    const expected = await gradientOf(reference, spec, weights, batch);
    const actual = await gradientOf(engine, spec, weights, batch);
    expect(worstDifference(expected.layout, expected.gradient, actual.gradient).error).toBeLessThan(1e-5);
    expect(actual.loss).toBeCloseTo(expected.loss, 4);
    expect(actual.correct).toBeCloseTo(expected.correct, 5);
  });

  /** The loss of fixed outputs, by a model that passes its input on. */
  async function lossOf(loss: StepSpec['loss'], outputs: number[], targets: number[]): Promise<number> {
    const identity = tfl.sequential({
      layers: [tfl.layers.dense({ name: 'i', units: outputs.length, useBias: false, inputShape: [outputs.length] })],
    });
    const width = outputs.length;
    const spec: StepSpec = {
      topology: topologyOf(identity),
      loss,
      inputs: [inputField([width])],
      targets: [valueField([width])],
      seed: 1,
    };
    const step = await engine.compile(spec);
    const weights = new Float32Array(step.layout.totalSize);
    for (let unit = 0; unit < width; unit++) weights[unit * width + unit] = 1;
    const sums = await step.evaluate(weights, {
      count: 1,
      inputs: [Float32Array.from(outputs)],
      targets: [Float32Array.from(targets)],
    });
    return sums.loss;
  }

  it.each([
    ['meanSquaredError', [1, 4], [0, 2], 2.5],
    ['meanAbsoluteError', [1, 4], [0, 2], 1.5],
    ['huber', [0.5, 4], [0, 2], (0.125 + 1.5) / 2],
    ['hinge', [0.5, 2], [1, 0], (0.5 + 3) / 2],
    ['binaryCrossentropy', [0.25, 0.5], [0, 1], (-Math.log(0.75) - Math.log(0.5)) / 2],
    ['categoricalCrossentropy', [0.25, 0.75], [0, 1], -Math.log(0.75)],
    ['klDivergence', [0.25, 0.75], [0.5, 0.5], 0.5 * Math.log(2) + 0.5 * Math.log(2 / 3)],
    ['cosineProximity', [3, 4], [4, 3], -24 / 25],
    ['squaredHinge', [0.5, 2], [1, 0], (0.25 + 9) / 2],
    ['categoricalHinge', [0.5, 2], [1, 0], 2.5],
    ['logCosh', [1, 40], [0, 0], (Math.log(Math.cosh(1)) + 40 - Math.LN2) / 2],
    ['poisson', [2, 1], [3, 0], (2 - 3 * Math.log(2) + 1) / 2],
  ] as const)('%s of %j for %j is right', async (loss, outputs, targets, expected) => {
    expect(await lossOf(loss, [...outputs], [...targets])).toBeCloseTo(expected, 5);
  });
});
