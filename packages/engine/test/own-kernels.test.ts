/** What kernels of ours compute, against eager tfjs; and that they are used at all. */
import { layers as own, topologyOf } from '@coord/models';
import { sizeOfShape } from '@coord/protocol';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import type { StepSpec } from '../src/engine.js';
import { lower } from '../src/lower/lower.js';
import { probeBlockSize } from '../src/ort/block-size.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { tf, withBackend } from '../src/tensors.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { apply, chain, type LayerCase, one } from './layer-cases/case.js';
import { callKernel, graphOf, kernelsOf, loweredOf } from './lowering.js';
import {
  gradientOf,
  inputField,
  labelField,
  numbersFrom,
  randomBatch,
  randomWeights,
  worstDifference,
} from './support.js';

const CLASSES = 4;
const blockSize = await probeBlockSize();
const L = tfl.layers;

/** Beside each case the kernels that it must use. */
const CASES: readonly (LayerCase & { kernels: string[]; without?: string[] })[] = [
  {
    ...chain('gelu, whose column sums are a bias gradient', [6, 4], () => [
      L.dense({ units: 12, activation: 'gelu' as 'relu' }),
      L.dense({ units: 5 }),
    ]),
    kernels: ['geluGradient'],
  },
  {
    ...chain('layer norms in a residual block', [6, 8], () => [L.layerNormalization({})]),
    build(input) {
      const attended = apply(L.dense({ units: 8 }), apply(L.layerNormalization({}), input));
      const sum = apply(L.add(), [input, attended]);
      return apply(L.layerNormalization({ epsilon: 1e-5 }), sum);
    },
    kernels: ['layerNormGradient'],
  },
  { ...one('layer norm of rank 2', [8], () => L.layerNormalization({})), kernels: ['layerNormGradient'] },
  { ...one('softmax', [5, 8], () => L.activation({ activation: 'softmax' })), kernels: ['softmaxGradient'] },
  {
    ...one('self-attention', [4, 8], () => new own.SelfAttention({ heads: 2 })),
    kernels: ['splitHeads', 'softmaxGradient', 'joinHeads'],
  },
  {
    ...one('causal self-attention', [8, 12], () => new own.SelfAttention({ heads: 3, causal: true })),
    kernels: ['splitHeads', 'softmaxGradient', 'joinHeads', 'crossEntropy', 'crossEntropyGradient'],
  },
  {
    // Rows of whole vectors, but not heads.
    ...one('self-attention whose heads fill no vector', [8, 12], () => new own.SelfAttention({ heads: 4 })),
    kernels: ['softmaxGradient', 'crossEntropy', 'crossEntropyGradient'],
    without: ['splitHeads', 'joinHeads'],
  },
  ...[
    { title: 'side by side', filters: 32, pool: {}, kernel: 'maxPoolGradient2x2' },
    { title: 'side by side without a relu', filters: 32, pool: {}, kernel: 'maxPoolGradient2x2', activation: 'linear' },
    {
      title: 'that overlap',
      filters: 16,
      pool: { poolSize: 3, strides: 2, padding: 'same' },
      kernel: 'maxPoolGradient',
    },
    { title: 'with gaps', filters: 16, pool: { poolSize: [1, 2], strides: [2, 3] }, kernel: 'maxPoolGradient' },
  ].map(({ title, filters, pool, kernel, activation = 'relu' }) => ({
    ...chain(`max pooling over windows ${title}`, [8, 9, 3], () => [
      L.conv2d({ filters, kernelSize: 2, activation: activation as 'relu' }),
      L.maxPooling2d(pool as Parameters<typeof L.maxPooling2d>[0]),
    ]),
    // They work in the blocked layout, where there is one.
    kernels: blockSize === undefined ? [] : [kernel],
  })),
  { ...one('gelu by itself', [3, 8], () => L.activation({ activation: 'gelu' as 'relu' })), kernels: ['geluGradient'] },
];

function specOf({ inputShape, build }: LayerCase): StepSpec {
  const topology = withBackend('cpu', () => {
    const input = tfl.input({ shape: inputShape });
    // Weights before the layer, so that its gradient goes somewhere.
    const before = L.dense({ units: inputShape.at(-1) as number, activation: 'tanh' }).apply(input);
    const built = build(before as tfl.SymbolicTensor);
    const flat = built.rank === 2 ? built : L.flatten().apply(built);
    const head = L.dense({ units: CLASSES, activation: 'softmax' }).apply(flat) as tfl.SymbolicTensor;
    return topologyOf(tfl.model({ inputs: input, outputs: head }));
  });
  const fields = { inputs: [inputField(inputShape)], targets: [labelField] };
  return { topology, loss: 'categoricalCrossentropy', seed: 9, ...fields };
}

const reference = createEagerEngine();
const engine = await createOrtEngine({ threads: 1, kernelsFrom: 0 });

describe('layers with kernels of ours have the gradients of eager tfjs', () => {
  it.each(CASES.map((one) => [one.title, one] as const))('%s', async (_, { kernels, without = [], ...layerCase }) => {
    const spec = specOf(layerCase);
    const weights = randomWeights(spec.topology, 4);
    const used = kernelsOf(spec, 3, { kernelsFrom: 0, blockSize });
    expect(used).toEqual(expect.arrayContaining(kernels));
    expect(used.filter((kernel) => without.includes(kernel))).toEqual([]);
    for (const count of [1, 3, 16]) {
      const batch = randomBatch(spec, count, 40 + count, CLASSES);
      const expected = await gradientOf(reference, spec, weights, batch);
      const actual = await gradientOf(engine, spec, weights, batch);
      const { name, error } = worstDifference(expected.layout, expected.gradient, actual.gradient, layerCase.floor);
      expect(error, `${name}, ${count} samples`).toBeLessThan(1e-5);
      expect(Math.abs(actual.loss - expected.loss)).toBeLessThan(1e-5 * Math.abs(expected.loss));
      expect(actual.correct).toBe(expected.correct);
    }
  });
});

describe('a model with kernels of ours', () => {
  const spec = specOf(CASES[0]);
  const touchedBytes = (count: number) => {
    const { ownNodes } = loweredOf(spec, count, { kernelsFrom: 0 });
    const values = ownNodes.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
    const sizes = new Map(values.map(({ name, dims }) => [name, 4 * sizeOfShape(dims)]));
    return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  };

  it('adds the gradient around a residual block where that of the layer norm inside is computed', () => {
    const { ownNodes } = loweredOf(specOf(CASES[1]), 3, { kernelsFrom: 0 });
    const addends = ownNodes
      .filter(({ kernel }) => kernel === 'layerNormGradient')
      .map(({ scalars }) => scalars.at(-1));
    expect(addends.sort()).toEqual([0, 1]);
  });

  it('does without them where what they touch exceeds the 4 GiB that WebAssembly can address', () => {
    const most = Math.floor((2 ** 32 / (touchedBytes(2000) - touchedBytes(1000))) * 1000);
    expect(kernelsOf(spec, most - 1000, { kernelsFrom: 0, blockSize })).toContain('geluGradient');
    const beyond = graphOf(spec, most + 1000);
    const { ownNodes, bytes } = lower(beyond, { kernelsFrom: 0 });
    expect(ownNodes).toEqual([]);
    expect(bytes).toEqual(lower(beyond, {}).bytes);
  });
});

/** Values in [−range, range) and some that are extreme. */
function drawn(length: number, range: number, seed: number): Float32Array {
  const next = numbersFrom(seed);
  const values = Float32Array.from({ length }, () => (2 * next() - 1) * range);
  values.set([0, -0, 1e-30, -1e-30, range * 100, -range * 100].slice(0, length));
  return values;
}

/** Φ by its series around 0, and by the continued fraction of its tail. */
function normalDistribution(x: number): number {
  const size = Math.abs(x);
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  let tail = 0;
  if (size < 4) {
    let term = size;
    let sum = size;
    for (let k = 3; k < 200; k += 2) {
      term *= (size * size) / k;
      sum += term;
    }
    tail = 0.5 - density * sum;
  } else {
    let fraction = size;
    for (let k = 100; k >= 1; k--) fraction = size + k / fraction;
    tail = density / fraction;
  }
  return x > 0 ? 1 - tail : tail;
}

interface Pooling {
  readonly planes: number;
  readonly height: number;
  readonly width: number;
  readonly depth: number;
  readonly window: readonly number[];
  readonly stride: readonly number[];
  readonly pad: readonly number[];
}

/** Pixels of each window by their place in `x`, row by row; padding is none of them. */
function windowsOf({ planes, height, width, window, stride, pad }: Pooling): number[][] {
  const counts = [height, width].map((extent, axis) =>
    Math.floor((extent + 2 * pad[axis] - window[axis]) / stride[axis] + 1),
  );
  const range = (count: number) => [...Array(count).keys()];
  const along = (at: number, axis: number) =>
    range(window[axis])
      .map((offset) => at * stride[axis] - pad[axis] + offset)
      .filter((place) => place >= 0 && place < [height, width][axis]);
  return range(planes).flatMap((plane) =>
    range(counts[0]).flatMap((row) =>
      range(counts[1]).map((column) =>
        along(row, 0).flatMap((inRow) => along(column, 1).map((at) => (plane * height + inRow) * width + at)),
      ),
    ),
  );
}

/** On small integers, so that ties abound and sums are exact. */
function expectPoolGradient(pooling: Pooling, isMasked: boolean): void {
  const { planes, height, width, depth, window, stride, pad } = pooling;
  const windows = windowsOf(pooling);
  const next = numbersFrom(height);
  const integers = (length: number, from: number) => Float32Array.from({ length }, () => Math.floor(next() * 5) + from);
  const x = integers(planes * height * width * depth, -3);
  const dy = integers(windows.length * depth, -2);
  const y = new Float32Array(dy.length);
  const expected = new Float32Array(x.length);
  windows.forEach((pixels, at) => {
    for (let channel = 0; channel < depth; channel++) {
      const values = pixels.map((pixel) => x[pixel * depth + channel]);
      const maximum = Math.max(...values);
      y[at * depth + channel] = maximum;
      const winner = pixels[values.indexOf(maximum)];
      if (!isMasked || maximum > 0) expected[winner * depth + channel] += dy[at * depth + channel];
    }
  });
  const image = [planes, height, width, 4 * depth];
  const perPlane = windows.length / planes;
  const columns = Math.floor((width + 2 * pad[1] - window[1]) / stride[1] + 1);
  const general = [...image, perPlane / columns, columns, ...window, ...stride, ...pad, isMasked ? 1 : 0];
  expect(callKernel('maxPoolGradient', [x, y, dy], [x.length], general)[0]).toEqual(expected);
  if (`${window} ${stride} ${pad}` !== '2,2 2,2 0,0') return;
  expect(callKernel('maxPoolGradient2x2', [x, y, dy], [x.length], [...image, isMasked ? 1 : 0])[0]).toEqual(expected);
}

describe('kernels of ours', () => {
  it.each([1, 3, 30])('compute the gradient of gelu to seven digits, inputs up to ±%d', (range) => {
    const [rows, width] = [24, 32];
    const x = drawn(rows * width, range, range);
    const dy = drawn(rows * width, 1, 7).map((value) => Math.fround(Math.max(-1, Math.min(1, value))));
    const [dx, sums] = callKernel('geluGradient', [x, dy], [rows * width, width], [rows, width, width]);
    const exact = Float64Array.from(x, (value, at) => {
      const density = Math.exp((-value * value) / 2) / Math.sqrt(2 * Math.PI);
      return dy[at] * (normalDistribution(value) + value * density);
    });
    dx.forEach((value, at) => {
      expect(Math.abs(value - exact[at]), `x = ${x[at]}`).toBeLessThan(3e-7);
    });
    sums.forEach((sum, column) => {
      const own = exact.filter((_, at) => at % width === column).reduce((total, value) => total + value, 0);
      expect(Math.abs(sum - own)).toBeLessThan(rows * 3e-7);
    });
  });

  it('compute cross-entropy and its gradient to seven digits, and nothing for labels that there are not', () => {
    const [rows, width] = [12, 20];
    const logits = drawn(rows * width, 10, 3).map((value) => Math.max(-60, Math.min(60, value)));
    const labels = Int32Array.from({ length: rows }, (_, row) => [row, 19, -1, 20][row % 4]);
    const slopes = drawn(rows, 1, 5).map((value) => Math.max(-1, Math.min(1, value)));
    const bits = new Float32Array(labels.buffer);
    const [losses, largests, inverses, likeliest] = callKernel(
      'crossEntropy',
      [logits, bits],
      [rows, rows, rows, rows],
      [rows, width],
    );
    const [dx] = callKernel(
      'crossEntropyGradient',
      [logits, bits, largests, inverses, slopes],
      [rows * width],
      [rows, width],
    );
    const classes = new Int32Array(likeliest.buffer, likeliest.byteOffset, rows);
    for (let row = 0; row < rows; row++) {
      const own = logits.subarray(row * width, (row + 1) * width);
      const sum = own.reduce((total, value) => total + Math.exp(value), 0);
      const isLabel = labels[row] >= 0 && labels[row] < width;
      const loss = isLabel ? Math.log(sum) - own[labels[row]] : 0;
      expect(Math.abs(losses[row] - loss)).toBeLessThan(1e-6 * Math.max(1, loss));
      expect(classes[row]).toBe(own.indexOf(Math.max(...own)));
      own.forEach((value, at) => {
        const slope = isLabel ? slopes[row] * (Math.exp(value) / sum - (at === labels[row] ? 1 : 0)) : 0;
        expect(Math.abs(dx[row * width + at] - slope)).toBeLessThan(3e-7);
      });
    }
  });

  it('lose no logits that are not numbers where there is no such label', async () => {
    const [rows, width] = [4, 8];
    const logits = new Float32Array(rows * width).fill(0.5);
    logits[2] = Number.NaN;
    logits[width + 7] = Number.POSITIVE_INFINITY;
    const labels = Int32Array.from([-1, 8, 9, 3]);
    const [losses] = callKernel(
      'crossEntropy',
      [logits, new Float32Array(labels.buffer)],
      [rows, rows, rows, rows],
      [rows, width],
    );
    const eager = withBackend('cpu', () => {
      const logarithms = tf.logSoftmax(tf.tensor2d(logits, [rows, width]));
      return tf.neg(tf.sum(tf.mul(tf.oneHot(labels, width), logarithms), 1)).dataSync();
    });
    const numbersOf = (values: ArrayLike<number>) => Array.from(values, (value) => Math.round(value * 1e6) / 1e6 + 0);
    expect(numbersOf(losses)).toEqual(numbersOf(eager));
    expect([...losses].map(Number.isNaN)).toEqual([true, true, false, false]);
  });

  it('compute the gradient of softmax, to seven digits', () => {
    const [rows, width] = [12, 20];
    const dy = drawn(rows * width, 1, 3);
    const y = drawn(rows * width, 1, 5).map((value) => Math.min(1, Math.abs(value)));
    const [dx] = callKernel('softmaxGradient', [dy, y], [rows * width], [rows, width]);
    dx.forEach((value, at) => {
      const start = at - (at % width);
      const products = Array.from({ length: width }, (_, column) => dy[start + column] * y[start + column]);
      const sum = products.reduce((total, product) => total + product, 0);
      const size = products.reduce((total, product) => total + Math.abs(product), Math.abs(dy[at]));
      expect(Math.abs(value - y[at] * (dy[at] - sum))).toBeLessThanOrEqual(size * 3e-7);
    });
  });

  it.each([true, false])('compute the gradient of layer norms to six digits, with an addend: %s', (hasAddend) => {
    const [rows, width] = [12, 20];
    const [dy, x, addend] = [3, 5, 7].map((seed) => drawn(rows * width, 1, seed).map((value) => value % 1));
    const [mean, inverse] = [drawn(rows, 1, 9).map((value) => value % 1), new Float32Array(rows).fill(1.5)];
    const scale = drawn(width, 1, 11).map((value) => value % 1);
    const results = callKernel(
      'layerNormGradient',
      [dy, x, mean, inverse, scale, addend],
      [rows * width, width, width, width],
      [rows, width, hasAddend ? 1 : 0],
    );
    const sums = [0, 1, 2].map(() => new Float64Array(width));
    const dx = new Float64Array(rows * width);
    for (let row = 0; row < rows; row++) {
      const columns = Array.from({ length: width }, (_, column) => column);
      const at = (column: number) => row * width + column;
      const normal = columns.map((column) => (x[at(column)] - mean[row]) * inverse[row]);
      const slopes = columns.map((column) => dy[at(column)] * scale[column]);
      const meanSlope = slopes.reduce((sum, slope) => sum + slope, 0) / width;
      const meanProduct = slopes.reduce((sum, slope, column) => sum + slope * normal[column], 0) / width;
      for (const column of columns) {
        const slope = inverse[row] * (slopes[column] - meanSlope - normal[column] * meanProduct);
        dx[at(column)] = slope + (hasAddend ? addend[at(column)] : 0);
        sums[0][column] += dy[at(column)] * normal[column];
        sums[1][column] += dy[at(column)];
        sums[2][column] += dx[at(column)];
      }
    }
    [dx, ...sums].forEach((exact, index) => {
      exact.forEach((value, at) => {
        expect(Math.abs(results[index][at] - value)).toBeLessThan(1e-5);
      });
    });
  });

  it.each([
    { title: '2×2', window: [2, 2], stride: [2, 2], pad: [0, 0] },
    { title: 'overlapping, padded', window: [3, 3], stride: [2, 2], pad: [1, 1] },
    { title: 'overlapping, more rows than columns', window: [3, 2], stride: [1, 2], pad: [0, 1] },
    { title: 'with gaps', window: [1, 2], stride: [2, 3], pad: [0, 0] },
  ])('give the slope of a window to its first maximum: $title', ({ window, stride, pad }) => {
    for (const [height, width] of [
      [6, 8],
      [7, 5],
    ]) {
      const image = { planes: 2, height, width, depth: 8, window, stride, pad };
      for (const isMasked of [false, true]) expectPoolGradient(image, isMasked);
    }
  });

  it.each(['crossEntropy', 'softmaxGradient', 'layerNormGradient', 'geluGradient'])(
    'hand on what is not finite: %s',
    (kernel) => {
      const [rows, width] = [2, 8];
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
        for (const place of [0, 3, 7]) {
          const x = new Float32Array(rows * width).fill(0.5);
          x[place] = value;
          const column = new Float32Array(rows).fill(1);
          const vector = new Float32Array(width).fill(1);
          const ones = new Float32Array(rows * width).fill(1);
          const results = {
            crossEntropy: () => callKernel('crossEntropy', [x, new Float32Array(rows)], [2, 2, 2, 2], [rows, width])[0],
            softmaxGradient: () => callKernel('softmaxGradient', [x, ones], [rows * width], [rows, width])[0],
            layerNormGradient: () =>
              callKernel(
                'layerNormGradient',
                [ones, x, column, column, vector, ones],
                [rows * width, width, width, width],
                [rows, width, 0],
              )[0],
            geluGradient: () => callKernel('geluGradient', [x, ones], [rows * width, width], [rows, width, width])[0],
          }[kernel]?.() as Float32Array;
          expect(results.some((result) => !Number.isFinite(result))).toBe(true);
        }
      }
    },
  );
});
