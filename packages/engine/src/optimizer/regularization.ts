import type { Layout, RegularizationSpec } from '@coord/protocol';
import { pieceOf, rangesOf } from './ranges.js';

const { fround } = Math;

/**
 * Adds the gradient of the penalty l1·Σ|w| + l2·Σw² (Keras' definition; every trainable parameter takes part), then scales
 * all gradients down if their global L2 norm is above `clipGlobalNorm`. Works in place on flat float32 buffers; parameters
 * of role `statistic` are left alone and do not count. Same bits on every machine.
 *
 * Source of the clipping: R. Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013.
 */
export function applyRegularization(
  spec: RegularizationSpec,
  layout: Layout,
  weights: Float32Array,
  gradients: Float32Array,
): void {
  for (const range of rangesOf(layout, 'trainable')) {
    addPenalty(spec, pieceOf(range, weights), pieceOf(range, gradients));
  }
  if (spec.clipGlobalNorm !== undefined) clip(layout, gradients, spec.clipGlobalNorm);
}

/** Two passes, so that the common case of one penalty costs one. */
function addPenalty({ l1, l2 }: RegularizationSpec, weights: Float32Array, gradients: Float32Array): void {
  const slope = fround(l1);
  const twice = fround(2 * l2);
  if (slope > 0) for (let i = 0; i < weights.length; i++) gradients[i] += slope * Math.sign(weights[i]);
  if (twice > 0) for (let i = 0; i < weights.length; i++) gradients[i] += fround(twice * weights[i]);
}

function clip(layout: Layout, gradients: Float32Array, limit: number): void {
  const norm = globalNorm(layout, gradients);
  if (!(norm > limit) || norm === Number.POSITIVE_INFINITY) return;
  const scale = fround(limit / norm);
  for (const range of rangesOf(layout, 'trainable')) {
    const piece = pieceOf(range, gradients);
    for (let i = 0; i < piece.length; i++) piece[i] *= scale;
  }
}

/** L2 norm over all trainable parameters, in float64, summed element by element in layout order. */
export function globalNorm(layout: Layout, gradients: Float32Array): number {
  let sum = 0;
  for (const range of rangesOf(layout, 'trainable')) {
    for (let i = range.start; i < range.end; i++) sum += gradients[i] * gradients[i];
  }
  return Math.sqrt(sum);
}
