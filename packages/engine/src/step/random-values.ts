/**
 * Random numbers of a step: a pure function of (seed, step, grain, layer, element), so that every worker that computes a
 * grain drops the same units.
 */
import { philox, streamKey } from '@coord/protocol';
import type { GrainKey } from '../engine.js';

/** `keep`: 0 with probability `rate`, else 1. `normal`: standard normal. */
export type Distribution = { readonly kind: 'keep'; readonly rate: number } | { readonly kind: 'normal' };

/** One draw of a layer in a step. */
export interface RandomDraw {
  readonly layer: string;
  /** Which draw of the layer it is, from 0: a layer may be applied several times. */
  readonly index: number;
  readonly shape: readonly number[];
  readonly distribution: Distribution;
}

const WORDS = 4;
const HALF_WORD = 0x10000;
const UNIT = 2 ** -32;

/** Writes the values of a draw. */
export function fillRandom(draw: RandomDraw, seed: number, key: GrainKey, out: Float32Array): void {
  const { distribution } = draw;
  const stream = streamOf(draw, seed, key);
  if (distribution.kind === 'keep') fillKeep(out, distribution.rate, stream);
  else fillNormal(out, stream);
}

/** The four words at a place of the draw's stream. */
type Stream = (place: number, words: Uint32Array) => void;

function streamOf({ layer, index }: RandomDraw, seed: number, { step, grain }: GrainKey): Stream {
  const key = streamKey(seed, 'dropout');
  const source = (hashName(layer) ^ Math.imul(index + 1, 0x9e3779b9)) >>> 0;
  return (place, words) => philox(key, [place, source, step, grain], words);
}

/** Sixteen bits a value: a rate is met to within 1/65536, and one call of the generator serves eight values. */
function fillKeep(out: Float32Array, rate: number, stream: Stream): void {
  const words = new Uint32Array(WORDS);
  const threshold = Math.round(rate * HALF_WORD);
  for (let start = 0; start < out.length; start += 2 * WORDS) {
    stream(start / (2 * WORDS), words);
    const end = Math.min(out.length, start + 2 * WORDS);
    for (let at = start; at < end; at++) {
      const word = words[(at - start) >> 1];
      out[at] = (at & 1 ? word >>> 16 : word & 0xffff) >= threshold ? 1 : 0;
    }
  }
}

/** Source: G. Box and M. Muller, "A Note on the Generation of Random Normal Deviates", 1958. */
function fillNormal(out: Float32Array, stream: Stream): void {
  const words = new Uint32Array(WORDS);
  for (let start = 0; start < out.length; start += WORDS) {
    stream(start / WORDS, words);
    for (let pair = 0; pair < WORDS; pair += 2) {
      const radius = Math.sqrt(-2 * Math.log((words[pair] + 1) * UNIT));
      const angle = 2 * Math.PI * words[pair + 1] * UNIT;
      if (start + pair < out.length) out[start + pair] = radius * Math.cos(angle);
      if (start + pair + 1 < out.length) out[start + pair + 1] = radius * Math.sin(angle);
    }
  }
}

/** FNV-1a over UTF-16 units. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}
