import { describe, expect, it } from 'vitest';
import { parseConfig } from '../src/config/load.js';
import { parseOverride } from '../src/config/override.js';
import { canonicalJson, toRunSpec } from '../src/config/run-spec.js';
import { createInitialState, totalStepsOf } from '../src/initial-state.js';

const TINY = `
model: {name: mlp, inputShape: [4, 4, 1], hidden: [8], classes: 3}
data: {source: synthetic, samples: 100, testSamples: 20, shape: [4, 4, 1], classes: 3}
batch: {grains: 3, grainSize: 5}
epochs: 2
`;

const specOf = async (...set: string[]) => {
  const config = parseConfig({ file: 'tiny.yaml', text: TINY }, set.map(parseOverride));
  return (await toRunSpec(config, { runId: 'test', directory: '.' })).spec;
};
const hashOf = async (...set: string[]) => (await specOf(...set)).configSha256;

describe('the run specification', () => {
  it('holds the topology as JSON and the manifest of the data', async () => {
    const spec = await specOf();
    expect(JSON.parse(spec.model.topology)).toHaveProperty('class_name');
    expect(spec.data.train.samples).toBe(100);
    expect(totalStepsOf(spec)).toBe(14);
  });

  it('writes down where a cosine ends that ends with the run', async () => {
    expect((await specOf('schedule={name: cosine}')).schedule).toMatchObject({ decaySteps: 14 });
    expect((await specOf('schedule={name: cosine, decaySteps: 5}')).schedule).toMatchObject({ decaySteps: 5 });
  });

  it('starts at step 0 with equal weights for equal seeds, empty slots, no exponents', async () => {
    const [a, b, c] = await Promise.all([specOf(), specOf(), specOf('seed=2')]);
    const state = createInitialState({ spec: a });
    expect(state.step).toBe(0);
    expect(createInitialState({ spec: b }).weights).toEqual(state.weights);
    expect(createInitialState({ spec: c }).weights).not.toEqual(state.weights);
    expect([...state.slots.keys()].length).toBeGreaterThan(0);
    for (const slot of state.slots.values()) expect(slot.every((value) => value === 0)).toBe(true);
    expect(state.exponents).toHaveLength(state.layout.blockCount);
  });
});

describe('a model that does not fit its data', () => {
  it.each([
    ['model.inputShape=[4, 4]', 'model mlp takes inputs of shape [4, 4]; samples of synthetic have [4, 4, 1]'],
    ['data.shape=[4, 5, 1]', 'model mlp takes inputs of shape [4, 4, 1]; samples of synthetic have [4, 5, 1]'],
    ['model.classes=2', 'model mlp has 2 outputs; synthetic has 3 classes'],
  ])('is refused before anything starts: %s', async (setting, message) => {
    await expect(specOf(setting)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: `model and data do not fit: ${message}`,
      hint: expect.stringContaining('under `model`'),
    });
  });

  it('may have more outputs than there are classes', async () => {
    expect((await specOf('model.classes=5')).data.classes).toBe(3);
  });
});

describe('the hash of what decides the weights', () => {
  it.each([
    'epochs=7',
    'maxSteps=3',
    'workers=5',
    'minWorkers=2',
    'listen=127.0.0.1:0',
    'evaluation.batchSize=7',
    'checkpoint.everySteps=3',
    'engine.threads=2',
    'data.testSamples=10',
  ])('does not change with %s', async (setting) => {
    expect(await hashOf(setting)).toBe(await hashOf());
  });

  it.each([
    'model.hidden=[9]',
    'data.samples=101',
    'data.seed=1',
    'loss=meanSquaredError',
    'optimizer.learningRate=0.1',
    'optimizer.name=sgd',
    'schedule.warmupSteps=1',
    'regularization.l2=0.1',
    'batch.grains=4',
    'batch.grainSize=4',
    'seed=2',
    'nonFinite=skip',
  ])('changes with %s', async (setting) => {
    expect(await hashOf(setting)).not.toBe(await hashOf());
  });

  it('does not depend on the order of keys', () => {
    expect(canonicalJson({ b: { d: 1, c: [2, { f: 3, e: 4 }] }, a: 5 })).toBe(
      canonicalJson({ a: 5, b: { c: [2, { e: 4, f: 3 }], d: 1 } }),
    );
  });
});
