/** A step that needs no dataset: a convolutional network on made-up images, to check engines and to measure them. */
import { createModel, topologyOf } from '@coord/models';
import { type Batch, type Field, philox, streamKey } from '@coord/protocol';
import type { StepSpec } from '../engine.js';
import { initialWeights } from '../initial-weights.js';

const CLASSES = 10;

export interface SampleStep {
  readonly spec: StepSpec;
  readonly weights: Float32Array;
  /** A batch of `count` images, the same ones every time. */
  batch(count: number): Batch;
}

/** The library's `cnn` with its default layers (the one that benchmarks quote), or a tiny one of the same kinds of layers. */
export function sampleStep(size: 'default' | 'tiny'): SampleStep {
  const side = size === 'tiny' ? 18 : 28;
  const layers = size === 'tiny' ? { filters: [4, 5, 4], hiddenUnits: 6 } : {};
  const topology = topologyOf(createModel('cnn', { inputShape: [side, side, 1], classes: CLASSES, ...layers }));
  const inputs = [fieldOf('image', 'input', [side, side, 1], 'float32')];
  const targets = [fieldOf('label', 'target', [], 'int32')];
  const spec: StepSpec = { topology, loss: 'categoricalCrossentropy', inputs, targets, seed: 1 };
  return { spec, weights: initialWeights(topology, 1).weights, batch: (count) => batchOf(count, side) };
}

const fieldOf = (name: string, role: Field['role'], shape: number[], dtype: Field['dtype']): Field => ({
  name,
  role,
  shape,
  storage: dtype,
  dtype,
  scale: 1,
  offset: 0,
});

function batchOf(count: number, side: number): Batch {
  const images = new Float32Array(count * side * side);
  const words = new Uint32Array(4);
  const key = streamKey(1, 'synthetic');
  for (let at = 0; at < images.length; at++) {
    if (at % 4 === 0) philox(key, [at, 0, 0, 0], words);
    images[at] = words[at % 4] / 2 ** 32;
  }
  const labels = Int32Array.from({ length: count }, (_, index) => index % CLASSES);
  return { count, inputs: [images], targets: [labels] };
}
