/** A pre-norm transformer block: x + attention(norm(x)), then x + feedForward(norm(x)). */
import * as tfl from '@tensorflow/tfjs-layers';
import { applied } from './apply.js';
import { SelfAttention } from './layers/self-attention.js';

export interface BlockOptions {
  readonly name: string;
  readonly width: number;
  readonly heads: number;
  readonly feedForward: number;
  readonly dropout: number;
  readonly causal: boolean;
}

const EPSILON = 1e-5;

export const layerNorm = (name: string, x: tfl.SymbolicTensor): tfl.SymbolicTensor =>
  applied(tfl.layers.layerNormalization({ name, epsilon: EPSILON }), x);

/** Adds dropout only where there is some, so that models without it draw nothing. */
export const dropped = (name: string, rate: number, x: tfl.SymbolicTensor): tfl.SymbolicTensor =>
  rate > 0 ? applied(tfl.layers.dropout({ name, rate }), x) : x;

export function transformerBlock(x: tfl.SymbolicTensor, options: BlockOptions): tfl.SymbolicTensor {
  const { name, width, heads, feedForward, dropout, causal } = options;
  const attention = new SelfAttention({ name: `${name}-attention`, heads, causal });
  const attended = applied(attention, layerNorm(`${name}-norm1`, x));
  const first = sum(`${name}-add1`, x, dropped(`${name}-dropout1`, dropout, attended));
  const wide = tfl.layers.dense({ name: `${name}-expand`, units: feedForward, activation: 'gelu' as 'relu' });
  const narrow = tfl.layers.dense({ name: `${name}-contract`, units: width });
  const fed = applied(narrow, applied(wide, layerNorm(`${name}-norm2`, first)));
  return sum(`${name}-add2`, first, dropped(`${name}-dropout2`, dropout, fed));
}

const sum = (name: string, a: tfl.SymbolicTensor, b: tfl.SymbolicTensor): tfl.SymbolicTensor =>
  applied(tfl.layers.add({ name }), [a, b]);
