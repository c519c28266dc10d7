/** Mutations of bytes and of values, from a seed: the same seed makes the same inputs. */
import { philox } from '@coord/protocol';

/** Source of chance: counter-based, so that the input with number n can be made again without the ones before it. */
export class Chance {
  private readonly words = new Uint32Array(4);
  private counter = 0;
  private left = 0;

  constructor(
    private readonly seed: number,
    private readonly stream: number,
  ) {}

  /** Uniform integer in [0, below). */
  below(below: number): number {
    if (this.left === 0) {
      philox([this.seed >>> 0, this.stream >>> 0], [this.counter++, 0, 0, 0], this.words);
      this.left = 4;
    }
    return this.words[--this.left] % below;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }
}

const INTERESTING_BYTES = [0, 1, 0x7f, 0x80, 0xc0, 0xdf, 0xff] as const;
const INTERESTING_VALUES: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  0.5,
  2 ** 31,
  2 ** 53,
  Number.NaN,
  1e308,
  '',
  '__proto__',
  'x'.repeat(300),
  [],
  {},
  [[[]]],
];

type Mutation = (bytes: Buffer, chance: Chance, seeds: readonly Uint8Array[]) => Buffer;

const flipBit: Mutation = (bytes, chance) => {
  if (bytes.length > 0) bytes[chance.below(bytes.length)] ^= 1 << chance.below(8);
  return bytes;
};
const setByte: Mutation = (bytes, chance) => {
  if (bytes.length > 0) bytes[chance.below(bytes.length)] = chance.pick(INTERESTING_BYTES);
  return bytes;
};
const cutOff: Mutation = (bytes, chance) => bytes.subarray(0, chance.below(bytes.length + 1));
const cutOut: Mutation = (bytes, chance) => {
  const start = chance.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, start), bytes.subarray(start + chance.below(16))]);
};
const insert: Mutation = (bytes, chance) => {
  const start = chance.below(bytes.length + 1);
  const news = Buffer.from(Array.from({ length: 1 + chance.below(12) }, () => chance.below(256)));
  return Buffer.concat([bytes.subarray(0, start), news, bytes.subarray(start)]);
};
const repeat: Mutation = (bytes, chance) => {
  const start = chance.below(bytes.length + 1);
  const piece = bytes.subarray(start, start + 1 + chance.below(32));
  return Buffer.concat([bytes.subarray(0, start), piece, piece, piece, bytes.subarray(start)]);
};
const splice: Mutation = (bytes, chance, seeds) => {
  const other = chance.pick(seeds);
  return Buffer.concat([
    bytes.subarray(0, chance.below(bytes.length + 1)),
    other.subarray(chance.below(other.length + 1)),
  ]);
};

const MUTATIONS = [flipBit, setByte, setByte, cutOff, cutOut, insert, repeat, splice] as const;

/** A seed, changed in one to four ways; now and then nothing but chance. */
export function mutateBytes(seeds: readonly Uint8Array[], chance: Chance): Buffer {
  if (chance.below(16) === 0) return Buffer.from(Array.from({ length: chance.below(200) }, () => chance.below(256)));
  let bytes: Buffer = Buffer.from(chance.pick(seeds));
  for (let left = 1 + chance.below(4); left > 0; left--) bytes = chance.pick(MUTATIONS)(bytes, chance, seeds);
  return bytes;
}

/** A copy of a value of the kinds that JSON and MessagePack know, with one part somewhere in it changed. */
export function mutateValue(value: unknown, chance: Chance): unknown {
  const isInner = typeof value === 'object' && value !== null && !ArrayBuffer.isView(value);
  if (!isInner || chance.below(8) === 0) return chance.pick(INTERESTING_VALUES);
  if (Array.isArray(value)) return mutateArray(value, chance);
  return mutateObject(value as Record<string, unknown>, chance);
}

function mutateArray(array: readonly unknown[], chance: Chance): unknown[] {
  const at = chance.below(array.length + 1);
  if (at === array.length) return [...array, chance.pick(INTERESTING_VALUES)];
  return array.map((item, index) => (index === at ? mutateValue(item, chance) : item));
}

function mutateObject(object: Readonly<Record<string, unknown>>, chance: Chance): Record<string, unknown> {
  const keys = Object.keys(object);
  const copy = { ...object };
  const key = keys.length === 0 ? 'extra' : chance.pick(keys);
  const way = chance.below(6);
  if (way === 0) Reflect.deleteProperty(copy, key);
  else if (way === 1) copy[`${key}x`] = chance.pick(INTERESTING_VALUES);
  else copy[key] = mutateValue(object[key], chance);
  return copy;
}
