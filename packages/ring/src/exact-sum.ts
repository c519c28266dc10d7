/**
 * The exact sum: float32 gradients become int32 multiples of a quantum, so that addition does not care about order.
 *
 * - A *block* is BLOCK_SIZE consecutive values of the flat buffer; blocks never span parameters.
 * - The *exponent* of a block is the biased float32 exponent of its largest magnitude in any grain: a magnitude of exponent
 *   e is below 2^(e − 126). 0 means that nothing but zeros and denormals was seen; 255 that a value was not finite.
 * - The *quantum* of a block is the power of two 2^(q − 127) whose biased exponent q (1 … 253) is what is stored.
 * - The *wire format* is the integer type that the ring carries: int32, or int16 for half the bytes and 16 bits less.
 * - A grain's value becomes the nearest integer (ties to even) to value ÷ quantum, and must not exceed the *limit*: the
 *   wire format's largest integer ÷ grains, rounded down; so the sum over all grains, in whatever order and grouping, fits.
 *
 * Error: each grain's value is off by at most quantum ÷ 2, so the sum by at most grains × quantum ÷ 2. With
 * b = ⌊log2 limit⌋ and m margin bits the quantum is 2^(m − b) times the power of two above the block's largest magnitude:
 * for 64 grains b = 24, and with m = 4 a value is kept to 20 bits below the block's largest; in int16 b = 8, so int16 is
 * for few grains. The quantum is never below 2^-126, so smaller values flush to zero.
 *
 * This file is the reference; the WebAssembly kernels must give the same bits.
 */
import { BLOCK_SIZE } from '@coord/protocol';

const EXPONENT_SILENT = 0;
export const EXPONENT_NOT_FINITE = 255;
/** How many times a block may double from one step to the next before the step must be quantised again. */
export const MARGIN_BITS = 4;

export type WireFormat = 'int32' | 'int16' | 'int8';
/** Sums in one of the wire formats. */
export type WireArray = Int32Array | Int16Array | Int8Array;
/** The largest sum that a wire format can hold. */
const MAX_SUM = { int32: 2 ** 31 - 1, int16: 2 ** 15 - 1, int8: 2 ** 7 - 1 } as const;
const MIN_QUANTUM = 1;
const MAX_QUANTUM = 253;
const LARGEST_FINITE_EXPONENT = 254;
/** Adding and subtracting this rounds a double below 2^51 to an integer, ties to even. */
const ROUND_TO_EVEN = 1.5 * 2 ** 52;

/** The largest magnitude that one grain may contribute; 0 when there are more grains than the format can add. */
export const limitFor = (grains: number, wire: WireFormat = 'int32'): number => Math.floor(MAX_SUM[wire] / grains);

const highestBit = (value: number): number => 31 - Math.clz32(value);

/**
 * Chooses each block's quantum.
 *
 * A silent block (nothing seen yet) gets the quantum of the largest block: coarse when it first speaks, but it fits. When
 * all are silent, as before the very first step, the quantum is the smallest, and any gradient above 2^-126 × limit
 * overflows: that step is quantised again with the exponents it has shown.
 *
 * @param exponents what is expected: the steps before, as kept by `rememberExponents`; 255 counts as 254.
 * @param grains the number of grains of the step, 1 … 65535.
 * @param marginBits 0 when the exponents are those of this very step: then every value is guaranteed to fit.
 * @throws RangeError when the wire format cannot add so many grains.
 */
export function quantaFor(
  exponents: Uint8Array,
  grains: number,
  out: Uint8Array,
  marginBits = MARGIN_BITS,
  wire: WireFormat = 'int32',
): void {
  const limit = limitFor(grains, wire);
  if (limit < 1) throw new RangeError(`${wire} cannot hold the sum of ${grains} grains`);
  const shift = 1 + marginBits - highestBit(limit);
  const largest = exponents.reduce((most, exponent) => Math.max(most, exponent), EXPONENT_SILENT);
  for (let block = 0; block < exponents.length; block++) {
    const expected = exponents[block] === EXPONENT_SILENT ? largest : exponents[block];
    const exponent = Math.min(expected, LARGEST_FINITE_EXPONENT);
    out[block] = Math.min(MAX_QUANTUM, Math.max(MIN_QUANTUM, exponent + shift));
  }
}

/**
 * Folds a step's exponents into what is expected of the next: a peak is forgotten by one bit a step, and a block that was
 * silent, or not finite, keeps what it had. A pure function of what every rank knows.
 */
export function rememberExponents(expected: Uint8Array, seen: Uint8Array): void {
  for (let block = 0; block < expected.length; block++) {
    if (seen[block] === EXPONENT_SILENT || seen[block] === EXPONENT_NOT_FINITE) continue;
    expected[block] = Math.max(seen[block], expected[block] - 1);
  }
}

export interface QuantiseResult {
  /** A finite value did not fit; the sums of this step are worthless. */
  readonly overflow: boolean;
  /** First block with an infinity or NaN; −1 when all is finite. */
  readonly firstNonFiniteBlock: number;
}

/** The largest float32 that is not above the limit, so that comparing in float32 is safe. */
export function floatLimitFor(grains: number, wire: WireFormat = 'int32'): number {
  const limit = limitFor(grains, wire);
  const rounded = Math.fround(limit);
  return rounded <= limit ? rounded : floatOfBits(bitsOfFloat(rounded) - 1);
}

const scratchFloat = new Float32Array(1);
const scratchBits = new Int32Array(scratchFloat.buffer);

function floatOfBits(bits: number): number {
  scratchBits[0] = bits;
  return scratchFloat[0];
}

function bitsOfFloat(value: number): number {
  scratchFloat[0] = value;
  return scratchBits[0];
}

/** Whether a grain is added to the sums or replaces what is there, as the first of a step may. */
export type QuantiseMode = 'add' | 'store';

/**
 * Adds one grain's gradients to `sums`, and its exponents to `exponents` (by maximum). Values that are not finite or do not
 * fit add nothing.
 *
 * @param gradients whole blocks.
 * @param grains the number of grains of the step, as given to `quantaFor`.
 * @param wire decides the limit; the sums are int32 in either format.
 * @param sums with mode `store` it may share the memory of `gradients`.
 */
export function quantiseGrain(
  gradients: Float32Array,
  quanta: Uint8Array,
  grains: number,
  sums: Int32Array,
  exponents: Uint8Array,
  mode: QuantiseMode = 'add',
  wire: WireFormat = 'int32',
): QuantiseResult {
  const limit = floatLimitFor(grains, wire);
  let overflow = false;
  let firstNonFiniteBlock = -1;
  for (let block = 0; block < quanta.length; block++) {
    const values = gradients.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
    const exponent = exponentOf(values);
    exponents[block] = Math.max(exponents[block], exponent);
    if (exponent === EXPONENT_NOT_FINITE && firstNonFiniteBlock < 0) firstNonFiniteBlock = block;
    const into = sums.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
    if (quantiseBlock(values, floatOfBits((254 - quanta[block]) << 23), limit, into, mode)) overflow = true;
  }
  return { overflow, firstNonFiniteBlock };
}

function exponentOf(values: Float32Array): number {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  let largest = 0;
  for (const word of bits) largest = Math.max(largest, word & 0x7fffffff);
  return largest >>> 23;
}

function quantiseBlock(
  values: Float32Array,
  scale: number,
  limit: number,
  sums: Int32Array,
  mode: QuantiseMode,
): boolean {
  let overflow = false;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    const rounded = Math.fround(value * scale) + ROUND_TO_EVEN - ROUND_TO_EVEN;
    const fits = Math.abs(rounded) <= limit;
    if (!fits && Number.isFinite(value)) overflow = true;
    sums[index] = (mode === 'add' ? sums[index] : 0) + (fits ? rounded : 0);
  }
  return overflow;
}

/**
 * out = sums × quantum ÷ divisor, correct to one unit in the last place of float32.
 *
 * @param divisor what to average over, e.g. the number of samples of the step.
 */
export function dequantise(sums: WireArray, quanta: Uint8Array, divisor: number, out: Float32Array): void {
  const inverse = 1 / divisor;
  for (let block = 0; block < quanta.length; block++) {
    const factor = floatOfBits(quanta[block] << 23) * inverse;
    for (let index = block * BLOCK_SIZE; index < (block + 1) * BLOCK_SIZE; index++) out[index] = sums[index] * factor;
  }
}
