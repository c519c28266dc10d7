/**
 * Reduction: what a rank brings to an all-reduce and what becomes of the result, piece by piece. The ring moves bytes in
 * the wire format; how they come from the values, are added, and become values again is a reduction's business, so it
 * happens while a piece is in the cache, and while the ring moves others.
 */
import type { Kernels } from './kernels.js';
import type { OperationName } from './segment-header.js';

export interface Reduction {
  readonly name: OperationName;
  /** Length of the buffer on the wire. */
  readonly totalBytes: number;
  /** Pieces begin at multiples of this, and end there or at the end of the buffer. */
  readonly unitBytes: number;
  /**
   * This rank's part of wire bytes [start, end), which is read until the piece has left: written into `room` (of that
   * length, in the arena), or where it lies.
   */
  own(start: number, end: number, room: Uint8Array): Uint8Array;
  /** arrived = arrived + this rank's part. Called for every piece for which `own` is not. */
  addOwn(start: number, end: number, arrived: Uint8Array): void;
  /** into = into + other; both hold the same piece. */
  merge(into: Uint8Array, other: Uint8Array): void;
  /** The piece is complete; `sum` is not to be changed, and not to be read later. Called once for every piece. */
  complete(start: number, end: number, sum: Uint8Array): void;
}

type PlainArray = Int32Array | Int16Array | Int8Array | Uint8Array;

export const bytesOf = (array: PlainArray): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

export const wordsOf = (bytes: Uint8Array): Int32Array =>
  new Int32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / 4));

/** Values that travel as they are. */
abstract class PlainReduction implements Reduction {
  abstract readonly name: OperationName;
  abstract readonly unitBytes: number;
  readonly totalBytes: number;

  constructor(
    protected readonly input: Uint8Array,
    private readonly output: Uint8Array,
  ) {
    if (output.length !== input.length) throw new RangeError(`out has ${output.length} bytes, values ${input.length}`);
    this.totalBytes = input.byteLength;
  }

  own(start: number, end: number, _room?: Uint8Array): Uint8Array {
    return this.input.subarray(start, end);
  }

  addOwn(start: number, end: number, arrived: Uint8Array): void {
    this.merge(arrived, this.input.subarray(start, end));
  }

  complete(start: number, end: number, sum: Uint8Array): void {
    if (!isSamePlace(sum, this.output.subarray(start, end))) this.output.set(sum, start);
  }

  abstract merge(into: Uint8Array, other: Uint8Array): void;
}

const isSamePlace = (a: Uint8Array, b: Uint8Array): boolean => a.buffer === b.buffer && a.byteOffset === b.byteOffset;

export class PlainSum extends PlainReduction {
  readonly name = 'sum';
  readonly unitBytes = Int32Array.BYTES_PER_ELEMENT;

  constructor(
    private readonly kernels: Kernels,
    values: Int32Array,
    out: Int32Array,
  ) {
    super(bytesOf(values), bytesOf(out));
  }

  merge(into: Uint8Array, other: Uint8Array): void {
    const words = wordsOf(into);
    this.kernels.addInt32(words, words, wordsOf(other));
  }
}

export class PlainMax extends PlainReduction {
  readonly name = 'max';
  readonly unitBytes = 1;

  constructor(
    private readonly kernels: Kernels,
    values: Uint8Array,
    out: Uint8Array,
  ) {
    super(values, out);
  }

  /** Maxima need not lie in the arena, where the kernels are at home; a copy of so few bytes costs nothing. */
  override own(start: number, end: number, room: Uint8Array): Uint8Array {
    room.set(super.own(start, end));
    return room;
  }

  merge(into: Uint8Array, other: Uint8Array): void {
    this.kernels.maxUint8(into, into, other);
  }
}

/** What every rank brings, chunk by chunk. */
export class Gather implements Reduction {
  readonly name = 'gather';
  readonly unitBytes = 1;
  readonly totalBytes: number;

  constructor(readonly output: Uint8Array) {
    this.totalBytes = output.byteLength;
  }

  own(start: number, end: number): Uint8Array {
    return this.output.subarray(start, end);
  }

  complete(start: number, _end: number, bytes: Uint8Array): void {
    this.output.set(bytes, start);
  }

  addOwn(): void {}
  merge(): void {}
}
