import { BLOCK_SIZE, createArena } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  dequantise,
  EXPONENT_NOT_FINITE,
  limitFor,
  mostGrains,
  quantaFor,
  quantiseGrain,
  rememberExponents,
  requireBits,
} from '../src/exact-sum.js';
import { createKernels, type Kernels, referenceKernels } from '../src/kernels.js';

const floatOfBits = (bits: number): number => new Float32Array(new Uint32Array([bits]).buffer)[0];

/** Any float32 by its bits: denormals, infinities and NaN included. */
const anyFloat = fc.integer({ min: 0, max: 0xffffffff }).map(floatOfBits);
const finiteFloat = anyFloat.filter(Number.isFinite);
/** Values as gradients have them, over a wide range of magnitudes. */
const gradientValue = fc.oneof(
  { weight: 5, arbitrary: fc.float({ min: -1, max: 1, noNaN: true }) },
  { weight: 2, arbitrary: fc.float({ min: Math.fround(-1e-6), max: Math.fround(1e-6), noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1.5e-45, -1e-40, Math.fround(1e-30), Math.fround(3e38)) },
);
const blocksOf = (value: fc.Arbitrary<number>, maxBlocks: number): fc.Arbitrary<Float32Array> =>
  fc
    .tuple(fc.integer({ min: 1, max: maxBlocks }), fc.array(value, { minLength: 1, maxLength: 64 }))
    .map(([blocks, seeds]) =>
      Float32Array.from(
        { length: blocks * BLOCK_SIZE },
        (_, index) => seeds[(index * 7 + (index >> 8)) % seeds.length],
      ),
    );

const grainsOf = (value: fc.Arbitrary<number>) =>
  fc
    .tuple(blocksOf(value, 3), fc.array(fc.nat(1000), { minLength: 1, maxLength: 12 }))
    .map(([base, rotations]) =>
      rotations.map((rotation) => Float32Array.from(base, (_, index) => base[(index + rotation) % base.length])),
    );

interface Quantised {
  readonly sums: Int32Array;
  readonly exponents: Uint8Array;
  readonly overflow: boolean;
  readonly firstNonFiniteBlock: number;
}

function quantiseAll(grains: readonly Float32Array[], total: number, quanta: Uint8Array): Quantised {
  const sums = new Int32Array(quanta.length * BLOCK_SIZE);
  const exponents = new Uint8Array(quanta.length);
  let overflow = false;
  let firstNonFiniteBlock = -1;
  for (const grain of grains) {
    const result = quantiseGrain(grain, quanta, total, sums, exponents);
    overflow ||= result.overflow;
    if (firstNonFiniteBlock < 0) firstNonFiniteBlock = result.firstNonFiniteBlock;
  }
  return { sums, exponents, overflow, firstNonFiniteBlock };
}

/** The whole protocol of a step: learn the exponents, choose quanta that fit, quantise. */
function learnAndQuantise(grains: readonly Float32Array[]): Quantised & { quanta: Uint8Array } {
  const quanta = new Uint8Array(grains[0].length / BLOCK_SIZE);
  quantaFor(new Uint8Array(quanta.length), grains.length, quanta);
  const { exponents } = quantiseAll(grains, grains.length, quanta);
  quantaFor(exponents, grains.length, quanta, 'int32', true);
  return { ...quantiseAll(grains, grains.length, quanta), quanta };
}

describe('the exact sum', () => {
  it('has the same bits in any order and any split over ranks', () => {
    fc.assert(
      fc.property(
        grainsOf(gradientValue),
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.nat(), { minLength: 12, maxLength: 12 }),
        (grains, ranks, order) => {
          const { sums, quanta } = learnAndQuantise(grains);
          const shuffled = grains
            .map((grain, index) => ({ grain, key: order[index] }))
            .sort((a, b) => a.key - b.key)
            .map(({ grain }) => grain);
          const total = new Int32Array(sums.length);
          for (let rank = 0; rank < ranks; rank++) {
            const mine = shuffled.filter((_, index) => index % ranks === rank);
            const partial = quantiseAll(mine, grains.length, quanta).sums;
            referenceKernels.addInt32(total, total, partial);
          }
          expect(total).toEqual(sums);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('never overflows with the exponents of the very step, whatever the finite values', () => {
    fc.assert(
      fc.property(grainsOf(finiteFloat), (grains) => {
        expect(learnAndQuantise(grains).overflow).toBe(false);
      }),
      { numRuns: 100 },
    );
  });

  it('fits the largest float in every grain, for any number of grains', () => {
    const largest = new Float32Array(BLOCK_SIZE).fill(3.4028234663852886e38);
    for (const grains of [1, 2, 3, 7, 48, 64, 1000, 65535]) {
      const quanta = new Uint8Array(1);
      quantaFor(new Uint8Array([254]), grains, quanta, 'int32', true);
      const sums = new Int32Array(BLOCK_SIZE);
      const { overflow } = quantiseGrain(largest, quanta, grains, sums, new Uint8Array(1));
      expect(overflow).toBe(false);
      expect(sums[0]).toBeGreaterThan(0);
      expect(sums[0] * grains).toBeLessThanOrEqual(2 ** 31 - 1);
    }
  });

  it('raises overflow rather than exceed the limit of a grain', () => {
    fc.assert(
      fc.property(
        blocksOf(anyFloat, 3),
        fc.uint8Array({ minLength: 3, maxLength: 3 }),
        fc.integer({ min: 1, max: 65535 }),
        (values, bytes, grains) => {
          const quanta = bytes.slice(0, values.length / BLOCK_SIZE).map((byte) => 1 + (byte % 253));
          const { sums, overflow } = quantiseAll([values], grains, quanta);
          let fits = true;
          values.forEach((value, index) => {
            const scaled = Math.abs(value / 2 ** (quanta[index >> 8] - 127));
            if (Number.isFinite(value) && scaled > limitFor(grains)) fits = false;
            expect(Math.abs(sums[index])).toBeLessThanOrEqual(limitFor(grains));
          });
          if (!fits) expect(overflow).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('never leaves int16 with quanta for that wire format, and loses nothing on the way through it', () => {
    fc.assert(
      fc.property(grainsOf(finiteFloat), (grains) => {
        const quanta = new Uint8Array(grains[0].length / BLOCK_SIZE);
        const exponents = new Uint8Array(quanta.length);
        const sums = new Int32Array(grains[0].length);
        quantaFor(new Uint8Array(quanta.length).fill(254), grains.length, quanta);
        for (const grain of grains) quantiseGrain(grain, quanta, grains.length, sums, exponents);
        sums.fill(0);
        quantaFor(exponents, grains.length, quanta, 'int16', true);
        for (const grain of grains) {
          const result = quantiseGrain(grain, quanta, grains.length, sums, exponents, 'add', 'int16');
          expect(result.overflow).toBe(false);
        }
        const wire = new Int16Array(sums.length);
        referenceKernels.narrow(sums, wire, 'store');
        expect(Int32Array.from(wire)).toEqual(sums);
      }),
      { numRuns: 50 },
    );
  });

  it('never leaves int8 when rounded at random, is off by less than a quantum a grain, and does not depend on how it is cut', () => {
    const key = [5, 7] as const;
    fc.assert(
      fc.property(grainsOf(gradientValue), fc.nat(1e6), fc.nat(3), (grains, step, cut) => {
        const quanta = new Uint8Array(grains[0].length / BLOCK_SIZE);
        const exponents = new Uint8Array(quanta.length);
        const sums = new Int32Array(grains[0].length);
        quantaFor(new Uint8Array(quanta.length).fill(254), grains.length, quanta);
        for (const grain of grains) quantiseGrain(grain, quanta, grains.length, sums, exponents);
        sums.fill(0);
        quantaFor(exponents, grains.length, quanta, 'int8', true);
        const pieces = sums.slice();
        grains.forEach((gradients, grain) => {
          const rounding = { key, step, grain, firstBlock: 0 };
          const one = quantiseGrain(gradients, quanta, grains.length, sums, exponents, 'add', 'int8', rounding);
          expect(one.overflow).toBe(false);
          const at = Math.min(cut, quanta.length);
          for (const [first, last] of [
            [0, at],
            [at, quanta.length],
          ]) {
            const range = [first * BLOCK_SIZE, last * BLOCK_SIZE] as const;
            const blocks = [first, last] as const;
            const into = pieces.subarray(...range);
            const from = { ...rounding, firstBlock: first };
            quantiseGrain(
              gradients.subarray(...range),
              quanta.subarray(...blocks),
              grains.length,
              into,
              exponents.subarray(...blocks),
              'add',
              'int8',
              from,
            );
          }
        });
        expect(pieces).toEqual(sums);
        for (let index = 0; index < sums.length; index++) {
          expect(Math.abs(sums[index])).toBeLessThanOrEqual(127);
          const quantum = 2 ** (quanta[index >> 8] - 127);
          const exact = grains.reduce((sum, grain) => sum + grain[index], 0) / quantum;
          // The fraction has 16 bits, and float32 rounds once more.
          expect(Math.abs(sums[index] - exact)).toBeLessThan(grains.length * (1 + 2 ** -14));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('is right in the mean when it is rounded at random', () => {
    const quanta = Uint8Array.of(127);
    for (const fraction of [0.1, 0.5, -0.3, 0.95]) {
      const gradients = new Float32Array(BLOCK_SIZE).fill(2 + fraction);
      let total = 0;
      for (let step = 0; step < 200; step++) {
        const sums = new Int32Array(BLOCK_SIZE);
        const rounding = { key: [1, 2], step, grain: 3, firstBlock: 0 } as const;
        quantiseGrain(gradients, quanta, 1, sums, new Uint8Array(1), 'store', 'int8', rounding);
        total += sums.reduce((sum, value) => sum + value, 0);
      }
      // 51,200 draws: the standard deviation of their mean is at most 0.0022.
      expect(Math.abs(total / (200 * BLOCK_SIZE) - (2 + fraction))).toBeLessThan(0.01);
    }
  });

  it('says when a wire format cannot hold the sum of so many grains', () => {
    expect(() => quantaFor(new Uint8Array(1), 32768, new Uint8Array(1), 'int16', true)).toThrow('32768 grains');
    expect(limitFor(32767, 'int16')).toBe(1);
    for (const wire of ['int32', 'int16', 'int8'] as const) {
      const most = mostGrains(wire);
      expect(() => requireBits(wire, most)).not.toThrow();
      expect(() => requireBits(wire, most + 1)).toThrow('too few bits');
    }
    expect(mostGrains('int8')).toBe(15);
  });

  it('is as close to the float64 sum as documented: half a quantum a grain', () => {
    fc.assert(
      fc.property(grainsOf(gradientValue), (grains) => {
        const { sums, quanta } = learnAndQuantise(grains);
        const mean = new Float32Array(sums.length);
        dequantise(sums, quanta, grains.length, mean);
        for (let index = 0; index < sums.length; index++) {
          const exact = grains.reduce((sum, grain) => sum + grain[index], 0) / grains.length;
          const quantum = 2 ** (quanta[index >> 8] - 127);
          const roundingOfFloat = Math.abs(exact) * 2 ** -23 + 2 ** -149;
          expect(Math.abs(mean[index] - exact)).toBeLessThanOrEqual(quantum / 2 + roundingOfFloat);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('keeps 20 bits below the largest value of a block for 64 grains, margin included', () => {
    const quanta = new Uint8Array(1);
    const exponentOfOne = 127;
    quantaFor(new Uint8Array([exponentOfOne]), 64, quanta);
    // Magnitudes of this exponent are below 2.
    expect(2 / 2 ** (quanta[0] - 127)).toBe(2 ** 20);
    quantaFor(new Uint8Array([exponentOfOne]), 64, quanta, 'int32', true);
    expect(2 / 2 ** (quanta[0] - 127)).toBe(2 ** 24);
  });

  it('lets a block grow by the margin, and notices when it grows more', () => {
    const quanta = new Uint8Array(1);
    quantaFor(new Uint8Array([127]), 64, quanta);
    const grow = (factor: number) => quantiseAll([new Float32Array(BLOCK_SIZE).fill(1.999 * factor)], 64, quanta);
    expect(grow(2 ** 4).overflow).toBe(false);
    // The limit for 64 grains is one short of a power of two, which hides one more bit.
    expect(grow(2 ** (4 + 2)).overflow).toBe(true);
  });

  it('names the first block that is not finite, and lets the rest be summed', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const values = new Float32Array(4 * BLOCK_SIZE).fill(1);
      values[2 * BLOCK_SIZE + 17] = bad;
      values[3 * BLOCK_SIZE] = bad;
      const quanta = new Uint8Array(4);
      quantaFor(new Uint8Array(4).fill(127), 1, quanta);
      const { firstNonFiniteBlock, exponents, overflow, sums } = quantiseAll([values], 1, quanta);
      expect(firstNonFiniteBlock).toBe(2);
      expect([...exponents]).toEqual([127, 127, EXPONENT_NOT_FINITE, EXPONENT_NOT_FINITE]);
      expect(overflow).toBe(false);
      expect(sums[2 * BLOCK_SIZE + 17]).toBe(0);
      expect(sums[2 * BLOCK_SIZE + 18]).toBe(sums[0]);
    }
  });

  it('flushes zeros and denormals to zero', () => {
    for (const value of [0, -0, 1.5e-45, -1e-39]) {
      const { sums, exponents, overflow } = learnAndQuantise([new Float32Array(BLOCK_SIZE).fill(value)]);
      expect(overflow).toBe(false);
      expect(exponents[0]).toBe(0);
      expect(sums.every((sum) => sum === 0)).toBe(true);
    }
  });

  it('starts from nothing: the first step overflows, and the exponents that it has shown fit', () => {
    const values = new Float32Array(2 * BLOCK_SIZE);
    values[3] = 1e-3;
    const quanta = new Uint8Array(2);
    quantaFor(new Uint8Array(2), 64, quanta);
    const first = quantiseAll([values], 64, quanta);
    expect(first.overflow).toBe(true);
    quantaFor(first.exponents, 64, quanta, 'int32', true);
    expect(quantiseAll([values], 64, quanta).overflow).toBe(false);
  });

  it('gives a silent block the quantum of the largest, so that speaking up does not cost a step', () => {
    const quanta = new Uint8Array(3);
    quantaFor(new Uint8Array([100, 0, 120]), 64, quanta);
    expect(quanta[1]).toBe(quanta[2]);
    expect(quanta[0]).toBeLessThan(quanta[2]);
  });

  it('remembers a peak for as many steps as it has bits, and keeps what a silent or not finite block had', () => {
    const expected = new Uint8Array([120, 120, 0, 90]);
    rememberExponents(expected, new Uint8Array([100, 0, 7, EXPONENT_NOT_FINITE]));
    expect([...expected]).toEqual([119, 120, 7, 90]);
    rememberExponents(expected, new Uint8Array([125, 0, 0, 0]));
    expect([...expected]).toEqual([125, 120, 7, 90]);
  });
});

describe('the WebAssembly kernels', () => {
  const arena = createArena(1 << 20);
  const kernels = createKernels(arena.memory);
  const size = 3 * BLOCK_SIZE;
  const buffers = {
    gradients: arena.float32(size),
    sums: arena.int32(size),
    quanta: arena.uint8(3),
    exponents: arena.uint8(3),
    floats: arena.float32(size),
    shorts: new Int16Array(arena.uint8(size * 2).buffer, arena.uint8(size * 2).byteOffset, size),
    ints: [arena.int32(100), arena.int32(100), arena.int32(100)],
    bytes: [arena.uint8(100), arena.uint8(100), arena.uint8(100)],
  };

  it('quantise to the bits of the reference, whatever the values and quanta', () => {
    const quantum = fc.oneof(fc.integer({ min: 1, max: 253 }), fc.integer({ min: 90, max: 130 }));
    fc.assert(
      fc.property(
        blocksOf(fc.oneof(anyFloat, gradientValue), 3),
        fc.array(quantum, { minLength: 3, maxLength: 3 }),
        fc.integer({ min: 1, max: 65535 }),
        fc.array(fc.integer(), { minLength: 1, maxLength: 5 }),
        fc.uint8Array({ minLength: 3, maxLength: 3 }),
        fc.constantFrom('add' as const, 'store' as const),
        (values, quantumBytes, grains, startSums, startExponents, mode) => {
          const blocks = values.length / BLOCK_SIZE;
          const sums = Int32Array.from(values, (_, index) => startSums[index % startSums.length]);
          const exponents = startExponents.slice(0, blocks);
          const quanta = Uint8Array.from(quantumBytes).slice(0, blocks);
          const inside = {
            gradients: buffers.gradients.subarray(0, values.length),
            quanta: buffers.quanta.subarray(0, blocks),
            sums: buffers.sums.subarray(0, values.length),
            exponents: buffers.exponents.subarray(0, blocks),
          };
          inside.gradients.set(values);
          inside.quanta.set(quanta);
          inside.sums.set(sums);
          inside.exponents.set(exponents);
          const expected = quantiseGrain(values, quanta, grains, sums, exponents, mode);
          const { gradients: from, sums: into } = inside;
          const actual = kernels.quantiseGrain(from, inside.quanta, grains, into, inside.exponents, mode);
          expect(actual).toEqual(expected);
          expect(Buffer.compare(bytesOf(inside.sums), bytesOf(sums))).toBe(0);
          expect([...inside.exponents]).toEqual([...exponents]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('round at random to the bits of the reference', () => {
    fc.assert(
      fc.property(
        anyFloat,
        anyFloat,
        fc.nat(0x7fffffff),
        fc.nat(65535),
        fc.nat(1e6),
        (a, b, step, grain, firstBlock) => {
          const values = Float32Array.from(
            { length: size },
            (_, index) => (index % 3 === 0 ? a : b) * ((index % 17) / 16),
          );
          const quanta = Uint8Array.from(buffers.quanta, (_, index) => 100 + ((index * 29) % 50));
          const rounding = { key: [step ^ 77, grain * 31] as const, step, grain, firstBlock };
          const expected = { sums: new Int32Array(size), exponents: new Uint8Array(quanta.length) };
          const reference = quantiseGrain(
            values,
            quanta,
            3,
            expected.sums,
            expected.exponents,
            'store',
            'int8',
            rounding,
          );
          buffers.gradients.set(values);
          buffers.quanta.set(quanta);
          buffers.exponents.fill(0);
          const result = kernels.quantiseGrain(
            buffers.gradients,
            buffers.quanta,
            3,
            buffers.sums,
            buffers.exponents,
            'store',
            'int8',
            rounding,
          );
          expect(result).toEqual(reference);
          expect(buffers.sums.slice()).toEqual(expected.sums);
          expect(buffers.exponents.slice()).toEqual(expected.exponents);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('store a grain over its own gradients', () => {
    const values = Float32Array.from({ length: size }, (_, index) => (index - 300) / 7);
    const quanta = Uint8Array.from([110, 112, 114]);
    const expected = new Int32Array(size);
    quantiseGrain(values, quanta, 3, expected, new Uint8Array(3));
    const inPlace = values.slice();
    quantiseGrain(inPlace, quanta, 3, new Int32Array(inPlace.buffer), new Uint8Array(3), 'store');
    expect(new Int32Array(inPlace.buffer)).toEqual(expected);
    buffers.gradients.set(values);
    buffers.quanta.set(quanta);
    const { buffer, byteOffset } = buffers.gradients;
    const over = new Int32Array(buffer, byteOffset, size);
    kernels.quantiseGrain(buffers.gradients, buffers.quanta, 3, over, buffers.exponents, 'store');
    expect(over.slice()).toEqual(expected);
  });

  it('dequantise to the bits of the reference', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer(), { minLength: 1, maxLength: 50 }),
        fc.array(fc.integer({ min: 1, max: 253 }), { minLength: 3, maxLength: 3 }),
        fc.oneof(fc.integer({ min: 1, max: 1 << 24 }), fc.constantFrom(60_000, 3)),
        (values, quanta, divisor) => {
          const sums = Int32Array.from({ length: size }, (_, index) => values[(index * 3) % values.length]);
          buffers.sums.set(sums);
          buffers.quanta.set(quanta);
          const expected = new Float32Array(size);
          dequantise(sums, Uint8Array.from(quanta), divisor, expected);
          kernels.dequantise(buffers.sums, buffers.quanta, divisor, buffers.floats);
          expect(Buffer.compare(bytesOf(buffers.floats), bytesOf(expected))).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('add and compare like the reference, at any length, place and in place', () => {
    const place = fc.record({ at: fc.nat(15), length: fc.nat(80) });
    fc.assert(
      fc.property(place, fc.array(fc.integer(), { minLength: 200, maxLength: 200 }), ({ at, length }, words) => {
        checkBinary('addInt32', buffers.ints, Int32Array.from(words), at, length);
        checkBinary('maxUint8', buffers.bytes, Uint8Array.from(words), at, length);
      }),
      { numRuns: 200 },
    );
  });

  function checkBinary(name: 'addInt32', on: Int32Array[], words: Int32Array, at: number, length: number): void;
  function checkBinary(name: 'maxUint8', on: Uint8Array[], words: Uint8Array, at: number, length: number): void;
  function checkBinary(name: keyof Kernels, on: never[], words: never, at: number, length: number): void {
    const [out, a, b] = (on as Int32Array[]).map((array) => array.subarray(at, at + length));
    const source = words as Int32Array;
    const call = kernels[name] as Kernels['addInt32'];
    const reference = referenceKernels[name] as Kernels['addInt32'];
    a.set(source.subarray(0, length));
    b.set(source.subarray(100, 100 + length));
    const expected = a.slice();
    reference(expected, a.slice(), b.slice());
    call(out, a, b);
    expect(out.slice()).toEqual(expected);
    call(a, a, b);
    expect(a.slice()).toEqual(expected);
  }

  it('narrow, add and dequantise int16 and int8 like the reference', () => {
    const word = fc.integer({ min: -16384, max: 16383 });
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 99 }),
        (words, divisor) => {
          buffers.sums.set(Int32Array.from({ length: size }, (_, index) => words[(index * 5) % words.length]));
          buffers.quanta.set(Uint8Array.from(buffers.quanta, (_, index) => 1 + ((index * 67) % 253)));
          for (const wire of [buffers.shorts, new Int8Array(buffers.shorts.buffer, buffers.shorts.byteOffset, size)]) {
            for (const mode of ['store', 'add'] as const) {
              const expected = wire.slice();
              referenceKernels.narrow(buffers.sums.slice(), expected, mode);
              kernels.narrow(buffers.sums, wire, mode);
              expect(wire.slice()).toEqual(expected);
            }
            const mean = new Float32Array(size);
            dequantise(wire.slice(), buffers.quanta.slice(), divisor, mean);
            kernels.dequantise(wire, buffers.quanta, divisor, buffers.gradients);
            expect(buffers.gradients.slice()).toEqual(mean);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it('fall back to the reference for arrays that lie elsewhere', () => {
    const sums = new Int32Array(BLOCK_SIZE);
    const quanta = new Uint8Array([127]);
    kernels.quantiseGrain(new Float32Array(BLOCK_SIZE).fill(3), quanta, 1, sums, new Uint8Array(1));
    expect(sums[0]).toBe(3);
    const out = new Int32Array(3);
    kernels.addInt32(out, new Int32Array([1, 2, 3]), buffers.ints[0].subarray(0, 3).fill(10));
    expect([...out]).toEqual([11, 12, 13]);
  });

  it('keep no state: two instances over one memory see each other’s results', () => {
    const other = createKernels(arena.memory);
    const [out, a, b] = buffers.ints;
    a.fill(5);
    b.fill(6);
    kernels.addInt32(out, a, b);
    other.addInt32(out, out, b);
    expect(out.every((value) => value === 17)).toBe(true);
  });
});

const bytesOf = (array: Int32Array | Float32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
