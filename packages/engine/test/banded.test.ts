/** Products of matrices as convolutions over bands of columns, against eager tfjs; kernels of ours in bands, against the usual order. */
import { createModel, topologyOf } from '@coord/models';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import type { StepSpec } from '../src/engine.js';
import { createOrtEngine, KERNELS_FROM } from '../src/ort/ort-engine.js';
import { withBackend } from '../src/tensors.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { callKernel, loweredOf } from './lowering.js';
import {
  gradientOf,
  inputField,
  labelField,
  numbersFrom,
  randomBatch,
  randomWeights,
  worstDifference,
} from './support.js';

const BAND = 16;
const LENGTH = 64;
const TRANSFORMER = { vocabulary: 256, length: LENGTH, width: 256, heads: 4, blocks: 1, feedForward: 320 };
const tokens = inputField([LENGTH], 'int32');
const perPlace = { ...labelField, shape: [LENGTH] };

const stepOf = (topology: string, input = tokens, target = labelField): StepSpec => ({
  topology,
  loss: 'categoricalCrossentropy',
  seed: 9,
  inputs: [input],
  targets: [target],
});

const transformer = (name: string, options: object, target = labelField): StepSpec =>
  stepOf(topologyOf(createModel(name, { ...TRANSFORMER, ...options })), tokens, target);

/** Dense layers on sequences, with activations whose gradients are masks and products of what lies in bands and what does not. */
function perceptron(): StepSpec {
  const L = tfl.layers;
  const topology = withBackend('cpu', () => {
    const input = tfl.input({ shape: [LENGTH, 256] });
    const wide = L.dense({ units: 272, activation: 'relu' }).apply(input);
    const narrow = L.dense({ units: 256, activation: 'tanh' }).apply(wide) as tfl.SymbolicTensor;
    const sum = L.add().apply([input, narrow]) as tfl.SymbolicTensor;
    const head = L.dense({ units: 4, activation: 'softmax' }).apply(L.flatten().apply(sum)) as tfl.SymbolicTensor;
    return topologyOf(tfl.model({ inputs: input, outputs: head }));
  });
  return stepOf(topology, inputField([LENGTH, 256]));
}

/** Beside each step the kernels of ours that read bands. */
const CASES: readonly (readonly [string, StepSpec, string[]])[] = [
  ['gpt', transformer('gpt', {}, perPlace), ['geluGradient', 'joinHeads', 'splitHeads']],
  ['gpt, tied', transformer('gpt', { tied: true }, perPlace), ['geluGradient', 'joinHeads', 'splitHeads']],
  ['gpt whose heads fill no band', transformer('gpt', { heads: 32 }, perPlace), ['geluGradient']],
  [
    'transformer-classifier with dropout',
    transformer('transformer-classifier', { classes: 4, dropout: 0.1 }),
    ['geluGradient', 'joinHeads', 'splitHeads'],
  ],
  ['dense layers on sequences', perceptron(), []],
];

/** Pixels of one image: [1, columns, rows, 1]. */
const isBand = ({ dims }: { dims: readonly number[] }, rows: number) =>
  dims.length === 4 && dims[0] === 1 && dims[2] === rows && dims[3] === 1;

const engine = await createOrtEngine({ threads: 1 });
/** Tested against eager tfjs elsewhere, and quicker. */
const plainEngine = await createOrtEngine({ threads: 1, layout: 'plain', kernelsFrom: Number.POSITIVE_INFINITY });

describe('products in bands have the gradients of eager tfjs, or of plain products', () => {
  it.each(CASES)('%s', async (_, spec, kernels) => {
    const count = 4;
    const { ownNodes } = loweredOf(spec, count, { blockSize: BAND, kernelsFrom: KERNELS_FROM });
    const inBands = ownNodes.filter(({ inputs, outputs }) =>
      [...inputs, ...outputs].some((value) => isBand(value, count * LENGTH)),
    );
    expect([...new Set(inBands.map(({ kernel }) => kernel))].sort()).toEqual(kernels);
    const weights = randomWeights(spec.topology, 4);
    const batch = randomBatch(spec, count, 44, 4);
    const reference = spec === CASES[0][1] ? createEagerEngine() : plainEngine;
    const expected = await gradientOf(reference, spec, weights, batch);
    const actual = await gradientOf(engine, spec, weights, batch);
    const { name, error } = worstDifference(expected.layout, expected.gradient, actual.gradient);
    expect(error, name).toBeLessThan(1e-4);
    expect(Math.abs(actual.loss - expected.loss)).toBeLessThan(1e-5 * Math.abs(expected.loss));
    expect(actual.correct).toBe(expected.correct);
  });

  it('only with blocks of sixteen, whole bands and rows enough', () => {
    const spec = CASES[0][1];
    const hasBands = (count: number, blockSize = BAND) => {
      const { ownNodes } = loweredOf(spec, count, { blockSize, kernelsFrom: KERNELS_FROM });
      return ownNodes.some(({ inputs }) => inputs.some((value) => isBand(value, count * LENGTH)));
    };
    expect(hasBands(4)).toBe(true);
    expect(hasBands(3)).toBe(false);
    expect(hasBands(4, 8)).toBe(false);
  });
});

const [COUNT, PLACES, HEADS, DEPTH] = [2, 5, 3, 32];
const ROWS = COUNT * PLACES;
const COLUMNS = 3 * HEADS * DEPTH;

/** Rows in the usual order, as bands. */
const banded = (rows: Float32Array): Float32Array =>
  rows.map((_, at) => {
    const [band, within] = [Math.floor(at / (ROWS * BAND)), at % (ROWS * BAND)];
    return rows[Math.floor(within / BAND) * COLUMNS + band * BAND + (within % BAND)];
  });

function drawn(length: number, seed: number): Float32Array {
  const next = numbersFrom(seed);
  return Float32Array.from({ length }, () => 4 * next() - 2);
}

describe('kernels compute the same bits in bands', () => {
  const size = ROWS * COLUMNS;
  const heads = [COUNT, PLACES, HEADS, DEPTH];

  it('geluGradient', () => {
    const [x, dy] = [drawn(size, 1), drawn(size, 2)];
    const [dx, sums] = callKernel('geluGradient', [x, dy], [size, COLUMNS], [ROWS, COLUMNS, COLUMNS]);
    const inBands = callKernel('geluGradient', [banded(x), banded(dy)], [size, COLUMNS], [ROWS, COLUMNS, BAND]);
    expect(inBands).toEqual([banded(dx), sums]);
  });

  it('splitHeads', () => {
    const joined = drawn(size, 3);
    const thirds = [size / 3, size / 3, size / 3];
    const parts = callKernel('splitHeads', [joined], thirds, [...heads, COLUMNS]);
    expect(callKernel('splitHeads', [banded(joined)], thirds, [...heads, BAND])).toEqual(parts);
  });

  it('joinHeads', () => {
    const parts = [4, 5, 6].map((seed) => drawn(size / 3, seed));
    const [joined, sums] = callKernel('joinHeads', parts, [size, COLUMNS], [...heads, COLUMNS]);
    expect(callKernel('joinHeads', parts, [size, COLUMNS], [...heads, BAND])).toEqual([banded(joined), sums]);
  });
});
