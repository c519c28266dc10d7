import { createArena } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checksum } from '../src/checksum.js';
import { createKernels } from '../src/kernels.js';

const someBytes = fc.uint8Array({ minLength: 1, maxLength: 3000 });

describe('the checksum of a segment', () => {
  it('is the same in WebAssembly, at any length and offset', () => {
    const arena = createArena(1 << 20);
    const kernels = createKernels(arena.memory);
    const room = arena.uint8(4096);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(20), (bytes, offset) => {
        room.fill(0xff);
        const there = room.subarray(offset, offset + bytes.length);
        there.set(bytes);
        expect(kernels.checksum(there)).toBe(checksum(bytes));
      }),
    );
  });

  it('changes with any one byte', () => {
    fc.assert(
      fc.property(someBytes, fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, place, change) => {
        const damaged = bytes.slice();
        damaged[place % bytes.length] ^= change;
        expect(checksum(damaged)).not.toBe(checksum(bytes));
      }),
    );
  });

  it('changes when words change places', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.nat(15), fc.nat(15), (bytes, a, b) => {
        const moved = bytes.slice();
        moved.set(bytes.subarray(a * 4, a * 4 + 4), b * 4);
        moved.set(bytes.subarray(b * 4, b * 4 + 4), a * 4);
        fc.pre(!Buffer.from(moved).equals(bytes));
        expect(checksum(moved)).not.toBe(checksum(bytes));
      }),
    );
  });
});
