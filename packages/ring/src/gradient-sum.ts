/**
 * The exact sum as a reduction: integers travel in a wire format, floats come out. Two ways in: integer sums of grains,
 * which a host that computes several grains has already, or one grain's floats, quantised on the way.
 */
import { BLOCK_SIZE, type WireFormat } from '@coord/protocol';
import type { StochasticRounding, WireArray } from './exact-sum.js';
import type { Kernels } from './kernels.js';
import { bytesOf, type Reduction } from './reduction.js';
import type { OperationName } from './segment-header.js';

/** Bytes of an integer in each wire format. */
export const WIRE_BYTES = { int32: 4, int16: 2, int8: 1 } as const;
const OPERATION = { int32: 'sum', int16: 'sum16', int8: 'sum8' } as const;

export interface GradientSumOptions {
  readonly kernels: Kernels;
  readonly wire: WireFormat;
  /** One a block, as given by `quantaFor` for this wire format. */
  readonly quanta: Uint8Array;
  /** What to average over, e.g. the number of samples of the step. */
  readonly divisor: number;
  /** Receives the mean, float32, in whole blocks; it may share memory with what is summed only where that is float32 too. */
  readonly out: Float32Array;
}

export interface SumsOptions extends GradientSumOptions {
  /** Integer sums of this rank's grains, in whole blocks; they stay as they are. */
  readonly sums: Int32Array;
}

export interface FloatsOptions extends GradientSumOptions {
  /** This rank's only grain, in whole blocks; may be `out`. */
  readonly gradients: Float32Array;
  readonly grains: number;
  /** Takes the largest exponents of the grain, by maximum. */
  readonly exponents: Uint8Array;
  /** Of the first block; as `quantiseGrain` takes it. */
  readonly rounding?: StochasticRounding;
  /** A value did not fit or was not finite: the sum is worthless, here or on another rank. */
  onMisfit(): void;
  /** Room for the integers of one piece, in the arena; needed where the wire format is not int32. */
  readonly room: Int32Array;
  /** How many of the values travel, where the last block is padded. Default all. */
  readonly count?: number;
}

/** out = mean of all ranks' integer sums. */
export const sumOfSums = (options: SumsOptions): Reduction => new SumOfSums(options);

/** out = mean of all ranks' floats, each quantised just before it is sent or added. */
export const sumOfFloats = (options: FloatsOptions): Reduction => new SumOfFloats(options);

abstract class GradientSum implements Reduction {
  readonly name: OperationName;
  readonly unitBytes: number;
  readonly totalBytes: number;
  protected readonly valueBytes: number;

  constructor(
    private readonly common: GradientSumOptions,
    count: number,
  ) {
    this.name = OPERATION[common.wire];
    this.valueBytes = WIRE_BYTES[common.wire];
    this.unitBytes = BLOCK_SIZE * this.valueBytes;
    this.totalBytes = count * this.valueBytes;
  }

  abstract own(start: number, end: number, room: Uint8Array): Uint8Array;
  abstract addOwn(start: number, end: number, arrived: Uint8Array): void;

  merge(into: Uint8Array, other: Uint8Array): void {
    const { kernels } = this.common;
    const [a, b] = [this.wireView(into, into.length), this.wireView(other, other.length)];
    if (a instanceof Int32Array) kernels.addInt32(a, a, b as Int32Array);
    else if (a instanceof Int16Array) kernels.addInt16(a, a, b as Int16Array);
    else kernels.addInt8(a, a, b as Int8Array);
  }

  complete(start: number, end: number, sum: Uint8Array): void {
    const { kernels, quanta, divisor, out } = this.common;
    const { first, last } = this.blocks(start, end);
    const integers = this.wireView(sum, (last - first) * this.unitBytes);
    kernels.dequantise(integers, quanta.subarray(first, last), divisor, this.values(out, start, end));
  }

  /** The whole blocks of a float or integer buffer that wire bytes [start, end) stand for. */
  protected values<T extends Float32Array | Int32Array>(buffer: T, start: number, end: number): T {
    const { first, last } = this.blocks(start, end);
    return buffer.subarray(first * BLOCK_SIZE, last * BLOCK_SIZE) as T;
  }

  protected blocks(start: number, end: number): { first: number; last: number } {
    return { first: start / this.unitBytes, last: Math.ceil(end / this.unitBytes) };
  }

  /** `bytes` as integers of the wire format; the view may go on behind them, to the end of a block. */
  protected wireView(bytes: Uint8Array, lengthBytes: number): WireArray {
    const { buffer, byteOffset } = bytes;
    if (this.valueBytes === 4) return new Int32Array(buffer, byteOffset, lengthBytes / 4);
    if (this.valueBytes === 2) return new Int16Array(buffer, byteOffset, lengthBytes / 2);
    return new Int8Array(buffer, byteOffset, lengthBytes);
  }
}

class SumOfSums extends GradientSum {
  constructor(private readonly options: SumsOptions) {
    super(options, options.sums.length);
  }

  own(start: number, end: number, room: Uint8Array): Uint8Array {
    const values = this.values(this.options.sums, start, end);
    const integers = this.wireView(room, room.length);
    if (integers instanceof Int32Array) return bytesOf(values);
    this.options.kernels.narrow(values, integers, 'store');
    return room;
  }

  addOwn(start: number, end: number, arrived: Uint8Array): void {
    const values = this.values(this.options.sums, start, end);
    const integers = this.wireView(arrived, arrived.length);
    if (integers instanceof Int32Array) this.options.kernels.addInt32(integers, integers, values);
    else this.options.kernels.narrow(values, integers, 'add');
  }
}

class SumOfFloats extends GradientSum {
  constructor(private readonly options: FloatsOptions) {
    super(options, options.count ?? options.gradients.length);
  }

  own(start: number, end: number, room: Uint8Array): Uint8Array {
    this.quantise(start, end, room, 'store');
    return room;
  }

  addOwn(start: number, end: number, arrived: Uint8Array): void {
    this.quantise(start, end, arrived, 'add');
  }

  /** A slot is at least as long as the piece's last block, of which only a part may travel. */
  private quantise(start: number, end: number, wire: Uint8Array, mode: 'add' | 'store'): void {
    const { kernels, room } = this.options;
    const { first, last } = this.blocks(start, end);
    const integers = this.wireView(wire, (last - first) * this.unitBytes);
    if (integers instanceof Int32Array) {
      this.quantiseInto(integers, start, end, mode);
      return;
    }
    const wide = room.subarray(0, integers.length);
    this.quantiseInto(wide, start, end, 'store');
    kernels.narrow(wide, integers, mode);
  }

  private quantiseInto(sums: Int32Array, start: number, end: number, mode: 'add' | 'store'): void {
    const { kernels, gradients, quanta, grains, exponents, wire, rounding, onMisfit } = this.options;
    const { first, last } = this.blocks(start, end);
    const { overflow, firstNonFiniteBlock } = kernels.quantiseGrain(
      this.values(gradients, start, end),
      quanta.subarray(first, last),
      grains,
      sums,
      exponents.subarray(first, last),
      mode,
      wire,
      rounding && { ...rounding, firstBlock: rounding.firstBlock + first },
    );
    if (overflow || firstNonFiniteBlock >= 0) onMisfit();
  }
}
