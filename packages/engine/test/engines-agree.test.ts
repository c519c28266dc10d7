import { describe, expect, it } from 'vitest';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { gradientOf, randomBatch, randomWeights, relativeDifference, stepOf, worstDifference } from './support.js';

const SMALL_CNN = { inputShape: [18, 18, 1], filters: [16, 32, 16], hiddenUnits: 8, classes: 4 };
const ODD_CNN = { inputShape: [19, 21, 3], filters: [5, 16, 7], hiddenUnits: 6, classes: 4 };
const MLP = { inputShape: [11], hidden: [17, 9], classes: 4 };

const CASES = [
  ['cnn', SMALL_CNN, 1],
  ['cnn', SMALL_CNN, 3],
  ['cnn', SMALL_CNN, 16],
  ['cnn', ODD_CNN, 5],
  ['mlp', MLP, 1],
  ['mlp', MLP, 7],
  ['mlp', { ...MLP, activation: 'tanh' }, 32],
] as const;

const reference = createEagerEngine();

describe.each(['blocked', 'plain'] as const)('the ort engine in %s layout', async (layout) => {
  const engine = await createOrtEngine({ threads: 1, layout });

  it.each(CASES)('has the gradients of eager tfjs: %s %o, %i samples', async (name, options, count) => {
    const spec = stepOf(name, { ...options, inputShape: [...options.inputShape] });
    const weights = randomWeights(spec.topology, count);
    const batch = randomBatch(spec, count, 17 + count);
    const expected = await gradientOf(reference, spec, weights, batch);
    const actual = await gradientOf(engine, spec, weights, batch);
    expect(worstDifference(expected.layout, expected.gradient, actual.gradient).error).toBeLessThan(1e-5);
    expect(actual.loss).toBeCloseTo(expected.loss, 4);
    expect(actual.correct).toBe(expected.correct);
  });

  it('evaluates and predicts as eager tfjs does', async () => {
    const spec = stepOf('cnn', SMALL_CNN);
    const weights = randomWeights(spec.topology, 1);
    const batch = randomBatch(spec, 6, 2);
    const [expected, actual] = [await reference.compile(spec), await engine.compile(spec)];
    const [sums, ownSums] = [await expected.evaluate(weights, batch), await actual.evaluate(weights, batch)];
    expect(ownSums).toEqual({ ...sums, loss: expect.closeTo(sums.loss, 4) });
    const [probabilities] = await expected.predict(weights, batch.inputs, batch.count);
    const [own] = await actual.predict(weights, batch.inputs, batch.count);
    expect(relativeDifference(probabilities, own)).toBeLessThan(1e-5);
    expect(own.slice(0, 4).reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
  });

  it('writes every element, padding zero', async () => {
    const spec = stepOf('mlp', MLP);
    const { layout, gradient } = await gradientOf(
      engine,
      spec,
      randomWeights(spec.topology, 1),
      randomBatch(spec, 2, 1),
    );
    for (const { offset, size } of layout.parameters) {
      const end = Math.ceil((offset + size) / 256) * 256;
      expect(gradient.subarray(offset + size, end).every((value) => value === 0)).toBe(true);
    }
    expect(gradient.every(Number.isFinite)).toBe(true);
  });
});

describe('cross-entropy', () => {
  it('is taken from logits, so that a certain and wrong answer still has a finite loss and a gradient', async () => {
    const spec = stepOf('mlp', { inputShape: [3], hidden: [], classes: 4 });
    const engine = await createOrtEngine({ threads: 1 });
    const weights = randomWeights(spec.topology, 1).map((value) => value * 1000);
    const batch = randomBatch(spec, 16, 3);
    const expected = await gradientOf(reference, spec, weights, batch);
    const actual = await gradientOf(engine, spec, weights, batch);
    // −log of the smallest float32 is 103; probabilities clipped at 1e-7 would end at 16.
    expect(actual.loss / batch.count).toBeGreaterThan(103);
    expect(actual.loss).toBeCloseTo(expected.loss, 0);
    expect(worstDifference(expected.layout, expected.gradient, actual.gradient).error).toBeLessThan(1e-5);
  });
});
