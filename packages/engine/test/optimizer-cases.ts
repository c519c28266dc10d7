/** What the optimizer tests share: every rule with its options, a layout with padding and a statistic, random numbers. */
import {
  createLayout,
  type Layout,
  type OptimizerSpec,
  optimizerSpecSchema,
  philox,
  streamKey,
  viewOf,
} from '@coord/protocol';
import type { Optimizer } from '../src/optimizer/index.js';

const spec = (options: object): OptimizerSpec => optimizerSpecSchema.parse(options);

export const SPECS: readonly OptimizerSpec[] = [
  spec({ name: 'sgd', learningRate: 0.05 }),
  spec({ name: 'momentum', learningRate: 0.05, momentum: 0.9 }),
  spec({ name: 'momentum', learningRate: 0.05, momentum: 0.9, nesterov: true }),
  spec({ name: 'rmsprop', learningRate: 0.01 }),
  spec({ name: 'rmsprop', learningRate: 0.01, momentum: 0.8 }),
  spec({ name: 'rmsprop', learningRate: 0.01, centered: true }),
  spec({ name: 'rmsprop', learningRate: 0.01, centered: true, momentum: 0.8 }),
  spec({ name: 'adam' }),
  spec({ name: 'adamw', weightDecay: 0.1 }),
];

export const titleOf = ({ learningRate: _, ...options }: OptimizerSpec): string => JSON.stringify(options);

export const LAYOUT: Layout = createLayout([
  { name: 'dense/kernel', shape: [17, 19], role: 'trainable' },
  { name: 'norm/moving_mean', shape: [19], role: 'statistic' },
  { name: 'dense/bias', shape: [19], role: 'trainable' },
  { name: 'out/kernel', shape: [19, 5], role: 'trainable' },
  { name: 'norm/moving_variance', shape: [300], role: 'statistic' },
]);

/** Uniform in [−1, 1), multiples of 2⁻²³; the same for equal keys. Padding stays zero. */
export function randomFlat(layout: Layout, seed: number, scale = 1): Float32Array {
  const flat = new Float32Array(layout.totalSize);
  const word = new Uint32Array(4);
  for (const parameter of layout.parameters) {
    const view = viewOf(parameter, flat);
    for (let i = 0; i < view.length; i++) {
      philox(streamKey(seed, 'initialWeights'), [parameter.offset + i, 0, 0, 0], word);
      view[i] = ((word[0] >>> 8) / 2 ** 23 - 1) * scale;
    }
  }
  return flat;
}

export function zeroSlots(optimizer: Optimizer, layout: Layout): Map<string, Float32Array> {
  return new Map(optimizer.slotNames.map((name) => [name, new Float32Array(layout.totalSize)]));
}
