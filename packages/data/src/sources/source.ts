import type { Field } from '@coord/protocol';

/** One split of a dataset. Ranges are read when they are asked for, in any order. */
export interface SplitSource {
  readonly samples: number;
  /** Samples [first, first + count) of the field with this index: storage type, little-endian, without gaps. */
  readField(field: number, first: number, count: number): Promise<Uint8Array>;
}

/** A dataset that has been opened and checked, before it is cut into blocks. */
export interface Source {
  readonly name: string;
  readonly fields: readonly Field[];
  /** Number of classes of the target where it is a label. */
  readonly classes?: number;
  /** What the classes are called, where the source knows: labels, characters. */
  readonly classNames?: readonly string[];
  readonly train: SplitSource;
  readonly test?: SplitSource;
}

/** Sample weights, for the sources that have them; the last of their fields. */
export const WEIGHT_FIELD: Field = {
  name: 'weight',
  role: 'weight',
  shape: [],
  storage: 'float32',
  dtype: 'float32',
  scale: 1,
  offset: 0,
};

/** Bytes of a typed array, without copying. Storage is little-endian, like every machine that coord runs on. */
export const bytesOf = (array: Float32Array | Int32Array | Uint8Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

export const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
