/** Small models, random batches and comparisons for the engine's tests. */
import { createModel, topologyOf } from '@coord/models';
import { type Batch, type Field, type Layout, sizeOfShape, viewOf } from '@coord/protocol';
import type { Engine, StepSpec } from '../src/engine.js';
import { initialWeights } from '../src/initial-weights.js';

/** Deterministic numbers in [0, 1). Source: mulberry32, T. Ettinger (public domain). */
export function numbersFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const inputField = (shape: number[], dtype: Field['dtype'] = 'float32'): Field => ({
  name: 'x',
  role: 'input',
  shape,
  storage: dtype,
  dtype,
  scale: 1,
  offset: 0,
});

export const labelField: Field = { ...inputField([], 'int32'), name: 'y', role: 'target' };

export const valueField = (shape: number[]): Field => ({ ...inputField(shape), name: 'y', role: 'target' });

/** A small model of the library with a step for it. */
export function stepOf(
  name: string,
  options: { inputShape: number[]; classes: number } & Record<string, unknown>,
): StepSpec {
  return {
    topology: topologyOf(createModel(name, options)),
    loss: 'categoricalCrossentropy',
    inputs: [inputField(options.inputShape)],
    targets: [labelField],
    seed: 5,
  };
}

/** Values in [-1, 1); integers below `limit`. */
export function randomBatch({ inputs, targets }: StepSpec, count: number, seed: number, limit = 4): Batch {
  const next = numbersFrom(seed);
  const arrayOf = ({ dtype, shape }: Field) => {
    const length = count * sizeOfShape(shape);
    if (dtype === 'int32') return Int32Array.from({ length }, () => Math.floor(next() * limit));
    return Float32Array.from({ length }, () => next() * 2 - 1);
  };
  return { count, inputs: inputs.map(arrayOf), targets: targets.map(arrayOf) };
}

/** Initial weights with everything, biases too, moved off zero. */
export function randomWeights(topology: string, seed: number): Float32Array {
  const { layout, weights } = initialWeights(topology, seed);
  const next = numbersFrom(seed);
  for (const parameter of layout.parameters) {
    const view = viewOf(parameter, weights);
    for (let at = 0; at < view.length; at++) {
      view[at] = parameter.role === 'statistic' ? 0.5 + next() : view[at] + 0.2 * (next() - 0.5);
    }
  }
  return weights;
}

/**
 * Largest difference over largest magnitude of the reference, the worst of all parameters, and whose it is.
 *
 * @param floor magnitude below which a parameter's gradient counts as zero (a bias before a batch norm has none, say).
 */
export function worstDifference(
  layout: Layout,
  expected: Float32Array,
  actual: Float32Array,
  floor = 1e-12,
): { name: string; error: number } {
  const errors = layout.parameters.map((parameter) => ({
    name: parameter.name,
    error: relativeDifference(viewOf(parameter, expected), viewOf(parameter, actual), floor),
  }));
  return errors.reduce((worst, next) => (next.error > worst.error ? next : worst));
}

export function relativeDifference(expected: Float32Array, actual: Float32Array, floor = 1e-12): number {
  let largest = floor;
  let difference = 0;
  expected.forEach((value, at) => {
    largest = Math.max(largest, Math.abs(value));
    difference = Math.max(difference, Math.abs(value - actual[at]));
    if (!Number.isFinite(actual[at])) difference = Number.POSITIVE_INFINITY;
  });
  return difference / largest;
}

export interface Computed {
  readonly layout: Layout;
  readonly gradient: Float32Array;
  readonly loss: number;
  readonly correct: number;
}

/** One grain's gradient. */
export async function gradientOf(
  engine: Engine,
  spec: StepSpec,
  weights: Float32Array,
  batch: Batch,
): Promise<Computed> {
  const step = await engine.compile(spec);
  const gradient = new Float32Array(step.layout.totalSize).fill(Number.NaN);
  const { loss, correct } = await step.gradient(weights, batch, { step: 3, grain: 1 }, gradient);
  step.dispose();
  return { layout: step.layout, gradient, loss, correct };
}
