/** Gradients against central differences of the same loss, written out in float64 and without any tensor library. */
import { topologyOf } from '@coord/models';
import { viewOf } from '@coord/protocol';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../src/create-engine.js';
import type { StepSpec } from '../src/engine.js';
import { gradientOf, inputField, labelField, numbersFrom, randomBatch, randomWeights } from './support.js';

type Vector = number[];
/** Weights by their names in the model, flat. */
type Weights = Readonly<Record<string, Vector>>;

const { conv2d, dense, flatten, gru, layerNormalization } = tfl.layers;
const CLASSES = 3;

const product = (x: Vector, kernel: Vector, width: number): Vector =>
  Array.from({ length: width }, (_, to) => x.reduce((sum, value, from) => sum + value * kernel[from * width + to], 0));
const plus = (a: Vector, b: Vector): Vector => a.map((value, at) => value + b[at]);
const times = (a: Vector, b: Vector): Vector => a.map((value, at) => value * b[at]);
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const affine = (x: Vector, weights: Weights, name: string): Vector =>
  plus(product(x, weights[`${name}/kernel`], weights[`${name}/bias`].length), weights[`${name}/bias`]);

function crossEntropy(logits: Vector, label: number): number {
  const largest = Math.max(...logits);
  return largest + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - largest), 0)) - logits[label];
}

function convolved(x: Vector, size: number, weights: Weights): Vector {
  const [kernel, bias] = [weights['c/kernel'], weights['c/bias']];
  const channels = bias.length;
  const places = Array.from({ length: (size - 1) ** 2 }, (_, at) => [Math.floor(at / (size - 1)), at % (size - 1)]);
  return places.flatMap(([row, column]) => {
    const window = [0, 1].flatMap((dy) => [0, 1].map((dx) => x[(row + dy) * size + column + dx]));
    return plus(product(window, kernel, channels), bias).map(Math.tanh);
  });
}

function normalised(x: Vector, weights: Weights, epsilon: number): Vector {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  const normal = x.map((value) => (value - mean) / Math.sqrt(variance + epsilon));
  return plus(times(normal, weights['n/gamma']), weights['n/beta']);
}

/** The cell of tf.layers: update gate z, reset gate r, candidate; the reset comes before the recurrent product. */
function gruState(x: Vector, length: number, units: number, weights: Weights): Vector {
  const [kernel, recurrent, bias] = [weights['g/kernel'], weights['g/recurrent_kernel'], weights['g/bias']];
  const width = x.length / length;
  const part = (matrix: Vector, gate: number) =>
    matrix.filter((_, at) => Math.floor((at % (3 * units)) / units) === gate);
  const gateOf = (gate: number, input: Vector, state: Vector) =>
    plus(
      plus(product(input, part(kernel, gate), units), part(bias, gate)),
      product(state, part(recurrent, gate), units),
    );
  let state: Vector = Array(units).fill(0);
  for (let place = 0; place < length; place++) {
    const input = x.slice(place * width, (place + 1) * width);
    const before = state;
    const update = gateOf(0, input, before).map(sigmoid);
    const reset = gateOf(1, input, before).map(sigmoid);
    const candidate = gateOf(2, input, times(reset, before)).map(Math.tanh);
    state = before.map((value, at) => update[at] * value + (1 - update[at]) * candidate[at]);
  }
  return state;
}

interface Case {
  readonly title: string;
  readonly inputShape: number[];
  readonly layers: tfl.layers.Layer[];
  logits(x: Vector, weights: Weights): Vector;
}

const head = () => dense({ name: 'd', units: CLASSES, activation: 'softmax' });

const CASES: readonly Case[] = [
  {
    title: 'dense layers',
    inputShape: [4],
    layers: [dense({ name: 'h', units: 5, activation: 'tanh', inputShape: [4] }), head()],
    logits: (x, weights) => affine(affine(x, weights, 'h').map(Math.tanh), weights, 'd'),
  },
  {
    title: 'a convolution',
    inputShape: [4, 4, 1],
    layers: [
      conv2d({ name: 'c', filters: 16, kernelSize: 2, activation: 'tanh', inputShape: [4, 4, 1] }),
      flatten({ name: 'f' }),
      head(),
    ],
    logits: (x, weights) => affine(convolved(x, 4, weights), weights, 'd'),
  },
  {
    title: 'a layer normalisation',
    inputShape: [6],
    layers: [layerNormalization({ name: 'n', epsilon: 0.01, inputShape: [6] }), head()],
    logits: (x, weights) => affine(normalised(x, weights, 0.01), weights, 'd'),
  },
  {
    title: 'a gru',
    inputShape: [3, 2],
    layers: [gru({ name: 'g', units: 3, recurrentActivation: 'sigmoid', inputShape: [3, 2] }), head()],
    logits: (x, weights) => affine(gruState(x, 3, 3, weights), weights, 'd'),
  },
];

const STEP = 1e-4;
const COUNT = 3;

describe.each(['ort', 'tfjs-cpu'] as const)('%s', async (name) => {
  const engine = await createEngine({ name, threads: 1 });

  it.each(CASES)('has the slopes of $title', async ({ inputShape, layers, logits }) => {
    const topology = topologyOf(tfl.sequential({ layers }));
    const spec: StepSpec = {
      topology,
      loss: 'categoricalCrossentropy',
      inputs: [inputField(inputShape)],
      targets: [labelField],
      seed: 1,
    };
    const flat = randomWeights(topology, 6);
    const batch = randomBatch(spec, COUNT, 8, CLASSES);
    const { layout, gradient } = await gradientOf(engine, spec, flat, batch);
    const weights = Object.fromEntries(layout.parameters.map((of) => [of.name, [...viewOf(of, flat)]]));
    const size = batch.inputs[0].length / COUNT;
    const loss = () =>
      Array.from({ length: COUNT }, (_, sample) =>
        crossEntropy(
          logits([...batch.inputs[0].slice(sample * size, (sample + 1) * size)], weights),
          batch.targets[0][sample],
        ),
      ).reduce((sum, value) => sum + value);
    const next = numbersFrom(4);
    for (const parameter of layout.parameters) {
      const slopes = viewOf(parameter, gradient);
      const largest = slopes.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      for (let draw = 0; draw < 8; draw++) {
        const at = Math.floor(next() * slopes.length);
        const values = weights[parameter.name];
        const before = values[at];
        const [above, below] = [STEP, -STEP].map((change) => {
          values[at] = before + change;
          return loss();
        });
        values[at] = before;
        const slope = (above - below) / (2 * STEP);
        expect(Math.abs(slopes[at] - slope), `${parameter.name}[${at}]`).toBeLessThan(1e-4 * largest);
      }
    }
  });
});
