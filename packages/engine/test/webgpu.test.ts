import { describe, expect, it } from 'vitest';
import { createEngine } from '../src/create-engine.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { adapter, skipReason } from './software-gpu.js';
import { gradientOf, randomBatch, randomWeights, relativeDifference, stepOf, worstDifference } from './support.js';

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
