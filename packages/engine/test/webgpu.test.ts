import { topologyOf } from '@coord/models';
import { CoordError } from '@coord/protocol';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../src/create-engine.js';
import type { StepSpec } from '../src/engine.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { adapter, skipReason } from './software-gpu.js';
import {
  type Computed,
  gradientOf,
  inputField,
  randomBatch,
  randomWeights,
  relativeDifference,
  stepOf,
  worstDifference,
} from './support.js';

const MLP = stepOf('mlp', { inputShape: [11], hidden: [17, 9], classes: 4 });
const CNN = stepOf('cnn', { inputShape: [18, 18, 1], filters: [4, 5, 4], hiddenUnits: 6, classes: 4 });

const reference = createEagerEngine();

describe.skipIf(!adapter).each(['tfjs-webgpu', 'ort-webgpu'] as const)(`%s${skipReason}`, (name) => {
  it.each([
    ['an MLP', MLP],
    ['a CNN', CNN],
  ])('has the gradients of tfjs-cpu for %s', async (_, spec) => {
    const engine = await createEngine({ name, threads: 1 });
    const weights = randomWeights(spec.topology, 3);
    const batch = randomBatch(spec, 5, 7);
    const expected = await gradientOf(reference, spec, weights, batch);
    const actual = await gradientOf(engine, spec, weights, batch);
    expect(worstDifference(expected.layout, expected.gradient, actual.gradient).error).toBeLessThan(1e-4);
    expect(actual.loss).toBeCloseTo(expected.loss, 3);
    expect(actual.correct).toBe(expected.correct);
  });

  it('evaluates and predicts as tfjs-cpu does', async () => {
    const weights = randomWeights(CNN.topology, 1);
    const batch = randomBatch(CNN, 6, 2);
    const [expected, actual] = [
      await reference.compile(CNN),
      await (await createEngine({ name, threads: 1 })).compile(CNN),
    ];
    const sums = await expected.evaluate(weights, batch);
    expect(await actual.evaluate(weights, batch)).toEqual({ ...sums, loss: expect.closeTo(sums.loss, 3) });
    const [probabilities] = await expected.predict(weights, batch.inputs, batch.count);
    const [own] = await actual.predict(weights, batch.inputs, batch.count);
    expect(relativeDifference(probabilities, own)).toBeLessThan(1e-4);
  });

  it('says in its identity which device it computes on', async () => {
    const { identity } = await createEngine({ name, threads: 1 });
    expect(identity).toMatchObject({ engine: name, device: adapter, engineVersion: expect.stringMatching(/^\d/) });
  });
});

describe.skipIf(!adapter)(`a step on ort-webgpu${skipReason}`, () => {
  it.each([1, 2, 3])('is either right or refused, here a one-dimensional convolution of %i samples', async (count) => {
    const spec = sequenceStep();
    const weights = randomWeights(spec.topology, 4);
    const batch = randomBatch(spec, count, 40 + count);
    const expected = await gradientOf(reference, spec, weights, batch);
    const engine = await createEngine({ name: 'ort-webgpu', threads: 1 });
    const outcome = await gradientOf(engine, spec, weights, batch).catch((error: unknown) => error);
    if (outcome instanceof CoordError)
      expect(outcome).toMatchObject({ code: 'ENGINE_FAILED', hint: expect.stringContaining('engine: ort') });
    else {
      const { gradient } = outcome as Computed;
      expect(worstDifference(expected.layout, expected.gradient, gradient).error).toBeLessThan(1e-4);
    }
  });
});

/**
 * ONNX Runtime 1.30 computes convolutions wrong on WebGPU where 3 divides the input channels, 4 does not, and 4 divides the
 * filters; microsoft/onnxruntime issue 29651 describes the like.
 */
function sequenceStep(): StepSpec {
  const layers = [
    tfl.layers.conv1d({ name: 'c', inputShape: [12, 6], filters: 8, kernelSize: 3, activation: 'relu' }),
    tfl.layers.flatten({ name: 'f' }),
    tfl.layers.dense({ name: 'd', units: 4, activation: 'softmax' }),
  ];
  return { ...MLP, topology: topologyOf(tfl.sequential({ layers })), inputs: [inputField([12, 6])] };
}
