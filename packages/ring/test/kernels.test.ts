/** The kernels of the exact sum have the bits of their reference. */
import { BLOCK_SIZE, createArena } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dequantise, quantiseGrain } from '../src/exact-sum.js';
import { createKernels, type Kernels, referenceKernels } from '../src/kernels.js';
import { anyFloat, blocksOf, gradientValue } from './gradient-cases.js';

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

  it('make the mean of sums and a grain like the reference, over the grain itself too', () => {
    fc.assert(
      fc.property(
        blocksOf(fc.oneof(anyFloat, gradientValue), 3),
        fc.constantFrom(80, 98, 104, 112, 127),
        fc.integer({ min: 1, max: 4096 }),
        fc.array(fc.integer({ min: -(2 ** 20), max: 2 ** 20 }), { minLength: 1, maxLength: 5 }),
        fc.constantFrom(1, 64, 48),
        fc.boolean(),
        (values, quantum, grains, startSums, divisor, inPlace) => {
          const blocks = values.length / BLOCK_SIZE;
          const quanta = new Uint8Array(blocks).fill(quantum);
          const sums = Int32Array.from(values, (_, index) => startSums[index % startSums.length]);
          const inside = {
            gradients: buffers.gradients.subarray(0, values.length),
            quanta: buffers.quanta.subarray(0, blocks),
            sums: buffers.sums.subarray(0, values.length),
            exponents: buffers.exponents.subarray(0, blocks),
            out: inPlace ? buffers.gradients.subarray(0, values.length) : buffers.floats.subarray(0, values.length),
          };
          inside.gradients.set(values);
          inside.quanta.set(quanta);
          inside.sums.set(sums);
          inside.exponents.fill(7);
          const exponents = new Uint8Array(blocks).fill(7);
          const mean = new Float32Array(values.length);
          const expected = referenceKernels.averageGrain(values, quanta, grains, sums, exponents, divisor, mean);
          const { gradients, sums: into, exponents: shown, out } = inside;
          expect(kernels.averageGrain(gradients, inside.quanta, grains, into, shown, divisor, out)).toEqual(expected);
          expect(Buffer.compare(bytesOf(out), bytesOf(mean))).toBe(0);
          expect([...shown]).toEqual([...exponents]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('round ties to even however large the largest value of a block is', () => {
    const magnitudes = [21, 22, 23, 24, 29, 29.999, 30, 30.5];
    const shapes = (largest: number) => [
      largest,
      -largest,
      largest - 1,
      0.5,
      1.5,
      -2.5,
      127.5,
      -128.5,
      2 ** 21 + 0.5,
      3e-7,
    ];
    for (const mode of ['store', 'add'] as const) {
      for (const bits of magnitudes) {
        const values = Float32Array.from({ length: size }, (_, index) => shapes(2 ** bits)[index % 10]);
        // The quantum is 1, so values are what they become.
        buffers.quanta.fill(127);
        buffers.gradients.set(values);
        buffers.sums.fill(5);
        const expected = new Int32Array(size).fill(5);
        const result = quantiseGrain(values, buffers.quanta.slice(), 1, expected, new Uint8Array(3), mode);
        const { gradients, quanta, sums, exponents } = buffers;
        expect(kernels.quantiseGrain(gradients, quanta, 1, sums, exponents, mode)).toEqual(result);
        expect(sums.slice()).toEqual(expected);
      }
    }
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
