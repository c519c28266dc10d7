/** Gradients for property tests of the exact sum: as training has them, and whatever else float32 can hold. */
import { BLOCK_SIZE } from '@coord/protocol';
import fc from 'fast-check';

export const floatOfBits = (bits: number): number => new Float32Array(new Uint32Array([bits]).buffer)[0];

/** Any float32 by its bits: denormals, infinities and NaN included. */
export const anyFloat = fc.integer({ min: 0, max: 0xffffffff }).map(floatOfBits);
export const finiteFloat = anyFloat.filter(Number.isFinite);
/** Values as gradients have them, over a wide range of magnitudes. */
export const gradientValue = fc.oneof(
  { weight: 5, arbitrary: fc.float({ min: -1, max: 1, noNaN: true }) },
  { weight: 2, arbitrary: fc.float({ min: Math.fround(-1e-6), max: Math.fround(1e-6), noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1.5e-45, -1e-40, Math.fround(1e-30), Math.fround(3e38)) },
);
export const blocksOf = (value: fc.Arbitrary<number>, maxBlocks: number): fc.Arbitrary<Float32Array> =>
  fc
    .tuple(fc.integer({ min: 1, max: maxBlocks }), fc.array(value, { minLength: 1, maxLength: 64 }))
    .map(([blocks, seeds]) =>
      Float32Array.from(
        { length: blocks * BLOCK_SIZE },
        (_, index) => seeds[(index * 7 + (index >> 8)) % seeds.length],
      ),
    );

export const grainsOf = (value: fc.Arbitrary<number>) =>
  fc
    .tuple(blocksOf(value, 3), fc.array(fc.nat(1000), { minLength: 1, maxLength: 12 }))
    .map(([base, rotations]) =>
      rotations.map((rotation) => Float32Array.from(base, (_, index) => base[(index + rotation) % base.length])),
    );
