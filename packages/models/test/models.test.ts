import { isCoordError } from '@coord/protocol';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { createModel, listModels } from '../src/registry.js';
import { modelFromTopology, topologyOf } from '../src/topology.js';

const failureOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    if (isCoordError(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('the model library', () => {
  it('builds the seed CNN with 93,322 parameters', () => {
    expect(createModel('cnn').countParams()).toBe(93_322);
  });

  it.each(listModels().map(({ name }) => name))('gives %s the same topology and weight names every time', (name) => {
    const [first, second] = [createModel(name), createModel(name)];
    expect(topologyOf(second)).toBe(topologyOf(first));
    expect(second.weights.map((weight) => weight.originalName)).toEqual(
      first.weights.map((weight) => weight.originalName),
    );
  });

  it.each(listModels().map(({ name }) => name))('reads the topology of %s back to the same model', (name) => {
    const model = createModel(name);
    const copy = modelFromTopology(topologyOf(model));
    const describe = (of: typeof model) => of.weights.map((weight) => [weight.originalName, weight.shape]);
    expect(describe(copy)).toEqual(describe(model));
    // tfjs adds a default or two the first time; from then on the text is stable.
    expect(topologyOf(modelFromTopology(topologyOf(copy)))).toBe(topologyOf(copy));
  });

  it.each([
    ['resnet', { depth: 18, classes: 10 }, 11_173_962 + 2 * 4_800],
    ['resnet', { depth: 50, classes: 1000, inputShape: [224, 224, 3] }, 25_557_032 + 2 * 26_560],
  ])('gives %s %o the parameters of the paper’s network', (name, options, count) => {
    expect(createModel(name, options).countParams()).toBe(count);
  });

  it('takes options', () => {
    const model = createModel('mlp', { inputShape: [4], hidden: [3], activation: 'tanh', classes: 2 });
    expect(model.weights.map((weight) => [weight.originalName, weight.shape])).toEqual([
      ['hidden1/kernel', [4, 3]],
      ['hidden1/bias', [3]],
      ['classes/kernel', [3, 2]],
      ['classes/bias', [2]],
    ]);
  });

  it('names the nearest model when there is none of that name', () => {
    const error = failureOf(() => createModel('cmn'));
    expect(error).toMatchObject({ code: 'MODEL_UNKNOWN', message: 'there is no model "cmn"' });
    expect(error.hint).toContain('Did you mean "cnn"?');
  });

  it('names a wrong option', () => {
    expect(failureOf(() => createModel('mlp', { classes: 1 })).message).toContain('model "mlp": option classes');
    expect(failureOf(() => createModel('mlp', { widht: 1 })).message).toContain('widht');
  });

  it('says so when the layers do not fit the input', () => {
    const error = failureOf(() => createModel('cnn', { inputShape: [14, 14, 1] }));
    expect(error).toMatchObject({ code: 'MODEL_INVALID' });
    expect(error.hint).toContain('input shape');
  });
});

describe('modelFromTopology', () => {
  it.each([
    ['{', 'not JSON'],
    ['[1, 2]', '"class_name"'],
    ['{"class_name": "Nothing", "config": {}}', 'tf.layers has no class "Nothing"'],
    ['{"class_name": "Sequential", "config": {"name": "m", "layers": [{"class_name": "Dnse", "config": {}}]}}', 'Dnse'],
    ['{"class_name": "Dense", "config": {"units": 3}}', 'is no model'],
  ])('refuses %s', (topology, reason) => {
    const error = failureOf(() => modelFromTopology(topology));
    expect(error.code).toBe('MODEL_INVALID');
    expect(error.message).toContain(reason);
  });

  it('finds the topology inside a model.json', () => {
    const model = createModel('mlp');
    const file = { modelTopology: { model_config: JSON.parse(topologyOf(model)) }, weightsManifest: [] };
    expect(modelFromTopology(JSON.stringify(file)).countParams()).toBe(model.countParams());
  });

  it('leaves weights zero when asked to', () => {
    const model = modelFromTopology(topologyOf(createModel('mlp')), { initialise: false });
    expect(
      model.weights.every((weight) =>
        weight
          .read()
          .dataSync()
          .every((value) => value === 0),
      ),
    ).toBe(true);
  });
});

describe('the orthogonal initializer', () => {
  it.each([
    [[3, 3, 2, 4], 18, 4],
    [[4, 16], 4, 16],
    [[64, 256], 64, 256],
  ])('gives %o orthonormal rows or columns', (shape, rows, columns) => {
    const values = tfl.initializers.orthogonal({ gain: 2, seed: 5 }).apply(shape).dataSync();
    const vector = (index: number) =>
      rows < columns
        ? values.subarray(index * columns, (index + 1) * columns)
        : values.filter((_, at) => at % columns === index);
    const product = (a: number, b: number) => vector(a).reduce((sum, value, at) => sum + value * vector(b)[at], 0);
    expect(product(0, 0)).toBeCloseTo(4, 5);
    expect(product(1, 1)).toBeCloseTo(4, 5);
    expect(product(0, 1)).toBeCloseTo(0, 5);
    expect(product(2, Math.min(rows, columns) - 1)).toBeCloseTo(0, 5);
  });
});
