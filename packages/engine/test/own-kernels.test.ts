/** What kernels of ours compute, against eager tfjs; and that they are used at all. */
import { topologyOf } from '@coord/models';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import type { StepSpec } from '../src/engine.js';
import { KERNEL_BYTES, loadKernels } from '../src/kernels/wasm.js';
import { lower } from '../src/lower/lower.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { optimise } from '../src/passes/optimise.js';
import { prepareStep } from '../src/step/prepare.js';
import { traceGradient } from '../src/step/trace-step.js';
import { withBackend } from '../src/tensors.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { chain, type LayerCase, one } from './layer-cases/case.js';
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
const L = tfl.layers;

/** Beside each case the kernels that it must use. */
const CASES: readonly (LayerCase & { kernels: string[] })[] = [
  {
    ...chain('gelu, whose column sums are a bias gradient', [6, 4], () => [
      L.dense({ units: 12, activation: 'gelu' as 'relu' }),
      L.dense({ units: 5 }),
    ]),
    kernels: ['geluGradient'],
  },
  { ...one('gelu by itself', [3, 8], () => L.activation({ activation: 'gelu' as 'relu' })), kernels: ['geluGradient'] },
];

function specOf({ inputShape, build }: LayerCase): StepSpec {
  const topology = withBackend('cpu', () => {
    const input = tfl.input({ shape: inputShape });
    // Weights before the layer, so that its gradient goes somewhere.
    const before = L.dense({ units: inputShape.at(-1) as number, activation: 'tanh' }).apply(input);
    const flat = L.flatten().apply(build(before as tfl.SymbolicTensor));
    const head = L.dense({ units: CLASSES, activation: 'softmax' }).apply(flat) as tfl.SymbolicTensor;
    return topologyOf(tfl.model({ inputs: input, outputs: head }));
  });
  const fields = { inputs: [inputField(inputShape)], targets: [labelField] };
  return { topology, loss: 'categoricalCrossentropy', seed: 9, ...fields };
}

function kernelsOf(spec: StepSpec, count: number): string[] {
  const { graph } = traceGradient(prepareStep(spec), count);
  optimise(graph);
  return lower(graph, { kernelsFrom: 0 }).ownNodes.map(({ kernel }) => kernel);
}

const reference = createEagerEngine();
const engine = await createOrtEngine({ threads: 1, kernelsFrom: 0 });

describe('layers with kernels of ours have the gradients of eager tfjs', () => {
  it.each(CASES.map((one) => [one.title, one] as const))('%s', async (_, { kernels, ...layerCase }) => {
    const spec = specOf(layerCase);
    const weights = randomWeights(spec.topology, 4);
    expect(kernelsOf(spec, 3)).toEqual(expect.arrayContaining(kernels));
    for (const count of [1, 3, 16]) {
      const batch = randomBatch(spec, count, 40 + count, CLASSES);
      const expected = await gradientOf(reference, spec, weights, batch);
      const actual = await gradientOf(engine, spec, weights, batch);
      const { name, error } = worstDifference(expected.layout, expected.gradient, actual.gradient, layerCase.floor);
      expect(error, `${name}, ${count} samples`).toBeLessThan(1e-5);
      expect(Math.abs(actual.loss - expected.loss)).toBeLessThan(1e-5 * Math.abs(expected.loss));
    }
  });
});

describe('a model with kernels of ours', () => {
  const spec = specOf(CASES[0]);
  const graphOf = (count: number) => {
    const { graph } = traceGradient(prepareStep(spec), count);
    optimise(graph);
    return graph;
  };

  it('does without them where what they touch exceeds the 4 GiB that WebAssembly can address', () => {
    // Each sample has 72 elements before, 72 around and 72 after the gradient of gelu.
    const most = Math.floor(2 ** 32 / (4 * 3 * 72)) - 1000;
    expect(kernelsOf(spec, most)).toEqual(['geluGradient']);
    const beyond = lower(graphOf(most + 2000), { kernelsFrom: 0 });
    expect(beyond.ownNodes).toEqual([]);
    expect(beyond.bytes).toEqual(lower(graphOf(most + 2000), {}).bytes);
  });
});

/** Kernels over arrays of float32: inputs are copied in, outputs copied out. */
function call(kernel: string, inputs: readonly Float32Array[], lengths: readonly number[], scalars: readonly number[]) {
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 64 });
  let at = KERNEL_BYTES;
  const place = (length: number): Float32Array => {
    const view = new Float32Array(memory.buffer, at, length);
    at += 4 * length;
    return view;
  };
  const given = inputs.map((input) => {
    const view = place(input.length);
    view.set(input);
    return view;
  });
  const outputs = lengths.map((length) => place(length).fill(Number.NaN));
  loadKernels(memory)[kernel](...[...given, ...outputs].map(({ byteOffset }) => byteOffset), ...scalars);
  return outputs;
}

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

describe('kernels of ours', () => {
  it.each([1, 3, 30])('compute the gradient of gelu to seven digits, inputs up to ±%d', (range) => {
    const [rows, width] = [24, 32];
    const x = drawn(rows * width, range, range);
    const dy = drawn(rows * width, 1, 7).map((value) => Math.fround(Math.max(-1, Math.min(1, value))));
    const [dx, sums] = call('geluGradient', [x, dy], [rows * width, width], [rows, width]);
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
});
