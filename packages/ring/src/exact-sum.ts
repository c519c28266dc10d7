/**
 * The exact sum: float32 gradients become int32 multiples of a quantum, so that addition does not care about order.
 *
 * - A *block* is BLOCK_SIZE consecutive values of the flat buffer; blocks never span parameters.
 * - The *exponent* of a block is the biased float32 exponent of its largest magnitude in any grain: a magnitude of exponent
 *   e is below 2^(e − 126). 0 means that nothing but zeros and denormals was seen; 255 that a value was not finite.
 * - The *quantum* of a block is the power of two 2^(q − 127) whose biased exponent q (1 … 253) is what is stored.
 * - The *wire format* is the integer type that the ring carries: int32, int16 for half the bytes, int8 for a quarter.
 * - A grain's value becomes the nearest integer (ties to even) to value ÷ quantum, in int8 one of the two nearest at random
 *   (`StochasticRounding`), and must not exceed the *limit*: the
 *   wire format's largest integer ÷ grains, rounded down; so the sum over all grains, in whatever order and grouping, fits.
 *
 * Error: each grain's value is off by at most quantum ÷ 2, so the sum by at most grains × quantum ÷ 2. With
 * b = ⌊log2 limit⌋ and m margin bits the quantum is 2^(m − b) times the power of two above the block's largest magnitude:
 * for 64 grains b = 24, and with m = 4 a value is kept to 20 bits below the block's largest; in int16 b = 8, so int16 is
 * for few grains. The quantum is never below 2^-126, so smaller values flush to zero.
 *
 * This file is the reference; the WebAssembly kernels must give the same bits.
 */
import { BLOCK_SIZE, CoordError, type PhiloxKey, philox, type WireFormat } from '@coord/protocol';

const EXPONENT_SILENT = 0;
export const EXPONENT_NOT_FINITE = 255;
/** How many times a block may double from one step to the next before the step must be quantised again. */
const MARGIN_BITS = { int32: 4, int16: 3, int8: 2 } as const;

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
 * @param isExact the exponents are those of this very step: no margin is needed, and every value is guaranteed to fit.
 * @throws CoordError CONFIG_INVALID when the wire format keeps no bit of the gradients of so many grains.
 */
export function quantaFor(
  exponents: Uint8Array,
  grains: number,
  out: Uint8Array,
  wire: WireFormat = 'int32',
  isExact = false,
): void {
  requireBits(wire, grains);
  const shift = 1 + (isExact ? 0 : MARGIN_BITS[wire]) - highestBit(limitFor(grains, wire));
  const largest = exponents.reduce((most, exponent) => Math.max(most, exponent), EXPONENT_SILENT);
  for (let block = 0; block < exponents.length; block++) {
    const expected = exponents[block] === EXPONENT_SILENT ? largest : exponents[block];
    const exponent = Math.min(expected, LARGEST_FINITE_EXPONENT);
    out[block] = Math.min(MAX_QUANTUM, Math.max(MIN_QUANTUM, exponent + shift));
  }
}

/** Bits that are kept of a value as large as the largest that is expected in its block. */
const bitsKept = (wire: WireFormat, grains: number): number => {
  const limit = limitFor(grains, wire);
  return limit < 1 ? 0 : highestBit(limit) - MARGIN_BITS[wire];
};

/** The most grains of which a wire format keeps a bit. */
export const mostGrains = (wire: WireFormat): number => Math.floor(MAX_SUM[wire] / 2 ** (MARGIN_BITS[wire] + 1));

/** @throws CoordError CONFIG_INVALID when too few bits would be left. */
export function requireBits(wire: WireFormat, grains: number): void {
  if (bitsKept(wire, grains) >= 1) return;
  throw new CoordError('CONFIG_INVALID', `the wire format ${wire} has too few bits for the sum of ${grains} grains`, {
    hint: `Set batch.grains to at most ${mostGrains(wire)} (larger grains keep the global batch), or ring.wire to a wider format.`,
    facts: { wire, grains, mostGrains: mostGrains(wire) },
  });
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
 * @param rounding rounds at random, as int8 must; else to nearest, ties to even.
 */
export function quantiseGrain(
  gradients: Float32Array,
  quanta: Uint8Array,
  grains: number,
  sums: Int32Array,
  exponents: Uint8Array,
  mode: QuantiseMode = 'add',
  wire: WireFormat = 'int32',
  rounding?: StochasticRounding,
): QuantiseResult {
  const limit = floatLimitFor(grains, wire);
  let overflow = false;
  let firstNonFiniteBlock = -1;
  for (let block = 0; block < quanta.length; block++) {
    const values = gradients.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
    const exponent = exponentOf(values);
    exponents[block] = Math.max(exponents[block], exponent);
    if (exponent === EXPONENT_NOT_FINITE && firstNonFiniteBlock < 0) firstNonFiniteBlock = block;
    const round = rounding ? stochastic(rounding, block) : toNearest;
    const into = sums.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
    if (quantiseBlock(values, floatOfBits((254 - quanta[block]) << 23), limit, into, mode, round)) overflow = true;
  }
  return { overflow, firstNonFiniteBlock };
}

const toNearest = (scaled: number): number => scaled + ROUND_TO_EVEN - ROUND_TO_EVEN;

/**
 * What decides whether a value is rounded up or down: up with the probability of its fraction, so that the mean over many
 * steps and grains is right however few bits there are. A pure function of seed, step, grain and the value's place.
 *
 * Source: S. Gupta et al., "Deep Learning with Limited Numerical Precision", ICML 2015.
 */
export interface StochasticRounding {
  /** Of the stream `rounding`. */
  readonly key: PhiloxKey;
  readonly step: number;
  readonly grain: number;
  /** Number of the first block in the whole layout. */
  readonly firstBlock: number;
}

/** int8 has too few bits to round to nearest: most values would vanish. */
export const roundingFor = (wire: WireFormat, rounding: StochasticRounding): StochasticRounding | undefined =>
  wire === 'int8' ? rounding : undefined;

/** Philox gives four words a counter, a word two values; lanes of four counters lie side by side, for the vector kernel. */
const VALUES_PER_BUNDLE = 32;
const BUNDLES_PER_BLOCK = BLOCK_SIZE / VALUES_PER_BUNDLE;

function stochastic({ key, step, grain, firstBlock }: StochasticRounding, block: number) {
  const random = new Float32Array(BLOCK_SIZE);
  const words = new Uint32Array(4);
  for (let bundle = 0; bundle < BUNDLES_PER_BLOCK; bundle++) {
    for (let lane = 0; lane < 4; lane++) {
      philox(key, [((firstBlock + block) * BUNDLES_PER_BLOCK + bundle) * 4 + lane, grain, step, 0], words);
      for (let word = 0; word < 4; word++) {
        const at = bundle * VALUES_PER_BUNDLE + word * 8 + lane;
        random[at] = (words[word] & 0xffff) / 65536;
        random[at + 4] = (words[word] >>> 16) / 65536;
      }
    }
  }
  return (scaled: number, index: number): number => Math.floor(Math.fround(scaled + random[index]));
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
  round: (scaled: number, index: number) => number,
): boolean {
  let overflow = false;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    const rounded = round(Math.fround(value * scale), index);
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
