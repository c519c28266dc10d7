import { BLOCK_SIZE } from '@coord/protocol';
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
import { referenceKernels } from '../src/kernels.js';
import { anyFloat, blocksOf, finiteFloat, gradientValue, grainsOf } from './gradient-cases.js';

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
