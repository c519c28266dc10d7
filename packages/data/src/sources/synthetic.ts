/**
 * Made-up samples: every class has a prototype of random bytes; a sample is its class's prototype mixed with random bytes.
 * Everything is a pure function of (seed, split, sample), so that any range can be made at any time, on any machine.
 */
import { philox, streamKey } from '@coord/protocol';
import type { SyntheticConfig } from '../config.js';
import { bytesOf, elementsOf, type Source, type SplitSource, WEIGHT_FIELD } from './source.js';

/** Keeps the random numbers of prototypes, samples and labels apart. */
const PURPOSE = { prototype: 0, train: 1, test: 2, label: 4, weight: 8 } as const;
const BYTES_PER_CALL = 16;

export function openSynthetic(config: SyntheticConfig): Source {
  const prototypes = Array.from({ length: config.classes }, (_, label) =>
    randomBytes(config, PURPOSE.prototype, label),
  );
  const split = (samples: number, purpose: number): SplitSource => ({
    samples,
    async readField(field, first, count) {
      if (field === 0) return mixedSamples(config, prototypes, purpose, first, count);
      if (field === 1)
        return bytesOf(Int32Array.from({ length: count }, (_, i) => labelOf(config, purpose, first + i)));
      return bytesOf(Float32Array.from({ length: count }, (_, i) => weightOf(config, purpose, first + i)));
    },
  });
  return {
    name: 'synthetic',
    fields: [
      {
        name: 'values',
        role: 'input',
        shape: config.shape,
        storage: 'uint8',
        dtype: 'float32',
        scale: 1 / 255,
        offset: 0,
      },
      { name: 'label', role: 'target', shape: [], storage: 'int32', dtype: 'int32', scale: 1, offset: 0 },
      ...(config.weighted ? [WEIGHT_FIELD] : []),
    ],
    classes: config.classes,
    train: split(config.samples, PURPOSE.train),
    test: config.testSamples > 0 ? split(config.testSamples, PURPOSE.test) : undefined,
  };
}

function randomBytes({ seed, shape }: SyntheticConfig, purpose: number, index: number): Uint8Array {
  const length = elementsOf(shape);
  const words = new Uint32Array(Math.ceil(length / BYTES_PER_CALL) * 4);
  const key = streamKey(seed, 'synthetic');
  for (let at = 0; at < words.length; at += 4) {
    philox(key, [at, index, purpose, Math.floor(index / 2 ** 32)], words.subarray(at, at + 4));
  }
  return new Uint8Array(words.buffer, 0, length);
}

const labelOf = (config: SyntheticConfig, purpose: number, sample: number): number =>
  Math.floor(uniform(config, purpose | PURPOSE.label, sample) * config.classes);

const weightOf = (config: SyntheticConfig, purpose: number, sample: number): number =>
  0.5 + uniform(config, purpose | PURPOSE.weight, sample);

/** A number in [0, 1) for each sample. */
function uniform({ seed }: SyntheticConfig, purpose: number, sample: number): number {
  const words = new Uint32Array(4);
  philox(streamKey(seed, 'synthetic'), [0, sample, purpose, Math.floor(sample / 2 ** 32)], words);
  return words[0] / 2 ** 32;
}

function mixedSamples(
  config: SyntheticConfig,
  prototypes: readonly Uint8Array[],
  purpose: number,
  first: number,
  count: number,
): Uint8Array {
  const length = elementsOf(config.shape);
  const out = new Uint8Array(count * length);
  for (let index = 0; index < count; index++) {
    const prototype = prototypes[labelOf(config, purpose, first + index)];
    const noise = randomBytes(config, purpose, first + index);
    mix(prototype, noise, config.noise, out.subarray(index * length, (index + 1) * length));
  }
  return out;
}

function mix(prototype: Uint8Array, noise: Uint8Array, share: number, out: Uint8Array): void {
  for (let at = 0; at < out.length; at++) out[at] = Math.round(prototype[at] * (1 - share) + noise[at] * share);
}
