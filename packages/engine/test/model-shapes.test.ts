import { topologyOf } from '@coord/models';
import { viewOf } from '@coord/protocol';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../src/create-engine.js';
import type { StepSpec } from '../src/engine.js';
import { initialWeights } from '../src/initial-weights.js';
import {
  gradientOf,
  inputField,
  labelField,
  randomBatch,
  randomWeights,
  valueField,
  worstDifference,
} from './support.js';

const L = tfl.layers;
const engine = await createEngine({ name: 'ort', threads: 1 });
const reference = await createEngine({ name: 'tfjs-cpu', threads: 1 });

async function agreement(spec: StepSpec) {
  const weights = randomWeights(spec.topology, 2);
  const batch = randomBatch(spec, 5, 3, 3);
  const expected = await gradientOf(reference, spec, weights, batch);
  const actual = await gradientOf(engine, spec, weights, batch);
  expect(worstDifference(expected.layout, expected.gradient, actual.gradient).error).toBeLessThan(1e-5);
  expect(actual.loss).toBeCloseTo(expected.loss, 4);
  return { ...actual, weights, batch };
}

const sequential = (...layers: tfl.layers.Layer[]): string => topologyOf(tfl.sequential({ layers }));

const classification = (topology: string): StepSpec => ({
  topology,
  loss: 'categoricalCrossentropy',
  inputs: [inputField([4])],
  targets: [labelField],
  seed: 1,
});

describe('models of every shape', () => {
  it('may have several inputs and outputs', async () => {
    const [left, right] = [tfl.input({ name: 'left', shape: [3] }), tfl.input({ name: 'right', shape: [2] })];
    const joined = L.concatenate({ name: 'joined' }).apply([left, right]) as tfl.SymbolicTensor;
    const outputs = ['p', 'q'].map((name) => L.dense({ name, units: 2 }).apply(joined) as tfl.SymbolicTensor);
    const topology = topologyOf(tfl.model({ inputs: [left, right], outputs }));
    const inputs = [inputField([3]), { ...inputField([2]), name: 'x2' }];
    const targets = [valueField([2]), { ...valueField([2]), name: 'y2' }];
    await agreement({ topology, loss: 'meanSquaredError', inputs, targets, seed: 1 });
    const step = await engine.compile({ topology, loss: 'meanSquaredError', inputs, targets, seed: 1 });
    expect(await step.predict(randomWeights(topology, 1), [new Float32Array(6), new Float32Array(4)], 2)).toHaveLength(
      2,
    );
  });

  it('may hold other models', async () => {
    const inner = tfl.sequential({
      name: 'inner',
      layers: [
        L.dense({ name: 'a', units: 5, activation: 'tanh', inputShape: [4] }),
        L.dropout({ name: 'b', rate: 0.3 }),
      ],
    });
    await agreement(classification(sequential(inner, L.dense({ name: 'c', units: 3, activation: 'softmax' }))));
  });

  it('may share a layer between two places', async () => {
    const input = tfl.input({ name: 'in', shape: [4] });
    const shared = L.dense({ name: 'shared', units: 4, activation: 'tanh' });
    const twice = shared.apply(shared.apply(input)) as tfl.SymbolicTensor;
    const output = L.dense({ name: 'out', units: 3, activation: 'softmax' }).apply(twice) as tfl.SymbolicTensor;
    await agreement(classification(topologyOf(tfl.model({ inputs: input, outputs: output }))));
  });

  it('keep a softmax that another layer reads', async () => {
    const input = tfl.input({ name: 'in', shape: [4] });
    const probabilities = L.dense({ name: 'p', units: 3, activation: 'softmax' }).apply(input) as tfl.SymbolicTensor;
    const further = L.dense({ name: 'q', units: 3, activation: 'softmax' }).apply(probabilities) as tfl.SymbolicTensor;
    const topology = topologyOf(tfl.model({ inputs: input, outputs: [probabilities, further] }));
    const targets = [labelField, { ...labelField, name: 'y2' }];
    await agreement({ ...classification(topology), targets });
  });

  it('count a regularizer once a sample', async () => {
    const dense = (kernelRegularizer?: ReturnType<typeof tfl.regularizers.l2>) =>
      classification(
        sequential(L.dense({ name: 'd', units: 3, activation: 'softmax', kernelRegularizer, inputShape: [4] })),
      );
    const penalised = await agreement(dense(tfl.regularizers.l2({ l2: 0.1 })));
    const plain = await gradientOf(engine, dense(), penalised.weights, penalised.batch);
    const [kernel] = penalised.layout.parameters;
    const squares = viewOf(kernel, penalised.weights).reduce((sum, weight) => sum + weight * weight, 0);
    expect(penalised.loss - plain.loss).toBeCloseTo(0.1 * squares * penalised.batch.count, 3);
  });

  it('count the regularizers of recurrent cells, which tf.layers overlooks', async () => {
    const recurrent = (regularizer?: ReturnType<typeof tfl.regularizers.l2>) => {
      const layer = L.lstm({
        name: 'inner',
        units: 2,
        recurrentInitializer: 'glorotUniform',
        recurrentRegularizer: regularizer,
      }) as tfl.RNN;
      const topology = sequential(
        L.bidirectional({ name: 'both', layer, inputShape: [3, 4] }),
        L.dense({ name: 'd', units: 3, activation: 'softmax' }),
      );
      return { ...classification(topology), inputs: [inputField([3, 4])] };
    };
    const penalised = await agreement(recurrent(tfl.regularizers.l2({ l2: 0.1 })));
    const plain = await gradientOf(engine, recurrent(), penalised.weights, penalised.batch);
    const squares = penalised.layout.parameters
      .filter(({ name }) => name.includes('recurrent_kernel'))
      .flatMap((parameter) => [...viewOf(parameter, penalised.weights)])
      .reduce((sum, weight) => sum + weight * weight, 0);
    expect(penalised.loss - plain.loss).toBeCloseTo(0.1 * squares * penalised.batch.count, 3);
  });

  it.each([
    ['l1', tfl.regularizers.l1({ l1: 0.05 })],
    ['l1 and l2', tfl.regularizers.l1l2({ l1: 0.05, l2: 0.02 })],
  ] as const)('agree on %s of kernel and bias', async (_, regularizer) => {
    const layer = L.dense({
      name: 'd',
      units: 3,
      activation: 'softmax',
      kernelRegularizer: regularizer,
      biasRegularizer: regularizer,
      inputShape: [4],
    });
    await agreement(classification(sequential(layer)));
  });

  it('give frozen layers no gradient', async () => {
    const topology = sequential(
      L.dense({ name: 'frozen', units: 4, trainable: false, inputShape: [4] }),
      L.dense({ name: 'free', units: 3, activation: 'softmax' }),
    );
    const { layout, gradient } = await agreement(classification(topology));
    const largest = Object.fromEntries(
      layout.parameters.map((parameter) => [parameter.name, Math.max(...viewOf(parameter, gradient).map(Math.abs))]),
    );
    expect(largest['frozen/kernel']).toBe(0);
    expect(largest['free/kernel']).toBeGreaterThan(0);
    expect(layout.parameters.every(({ role }) => role === 'trainable')).toBe(true);
  });

  it('propose moving averages, times the samples', async () => {
    const topology = sequential(
      L.batchNormalization({ name: 'norm', momentum: 0.75, inputShape: [4] }),
      L.dense({ name: 'd', units: 3, activation: 'softmax' }),
    );
    const { layout, gradient, weights, batch } = await agreement(classification(topology));
    const average = layout.parameters.find(({ name }) => name === 'norm/moving_mean')!;
    expect(average.role).toBe('statistic');
    const inputs = batch.inputs[0];
    viewOf(average, gradient).forEach((proposed, channel) => {
      const column = Array.from({ length: batch.count }, (_, sample) => inputs[4 * sample + channel]);
      const mean = column.reduce((sum, value) => sum + value, 0) / batch.count;
      const moved = 0.75 * viewOf(average, weights)[channel] + 0.25 * mean;
      expect(proposed / batch.count).toBeCloseTo(moved, 5);
    });
    expect(viewOf(average, initialWeights(topology, 1).weights)).toEqual(new Float32Array(4));
  });
});
