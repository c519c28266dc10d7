import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Opener, SEAL_BYTES, Sealer } from '../src/sealed-messages.js';

const KEY = Buffer.alloc(32, 7);
const MAX_BYTES = 1000;
const kind = fc.integer({ min: 0, max: 255 });
const content = fc.uint8Array({ maxLength: MAX_BYTES });

describe('a sealed message', () => {
  it('opens once, to what was sealed, in order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(kind, content), { maxLength: 20 }), (messages) => {
        const [sealer, opener] = [new Sealer(KEY), new Opener(KEY, MAX_BYTES)];
        for (const [kind, content] of messages) {
          const sealed = sealer.seal(kind, content);
          expect(sealed.byteLength).toBe(content.byteLength + SEAL_BYTES);
          expect(opener.open(sealed)).toEqual({ kind, content: Buffer.from(content), missing: 0 });
          expect(opener.open(sealed)).toBeUndefined();
        }
      }),
      { numRuns: 100 },
    );
  });

  it('does not open with any bit changed, and opens all the same afterwards', () => {
    fc.assert(
      fc.property(kind, content, fc.nat(), fc.integer({ min: 0, max: 7 }), (kind, content, where, bit) => {
        const opener = new Opener(KEY, MAX_BYTES);
        const sealed = new Sealer(KEY).seal(kind, content);
        const changed = Buffer.from(sealed);
        changed[where % changed.byteLength] ^= 1 << bit;
        expect(opener.open(changed)).toBeUndefined();
        expect(opener.open(sealed)?.missing).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('does not open cut off, with more behind it, under another key, or where it is larger than the limit', () => {
    const sealed = new Sealer(KEY).seal(1, randomBytes(100));
    const opener = new Opener(KEY, MAX_BYTES);
    for (let length = 0; length < sealed.byteLength; length++) {
      expect(opener.open(sealed.subarray(0, length))).toBeUndefined();
      expect(opener.open(sealed.subarray(length + 1))).toBeUndefined();
    }
    expect(opener.open(Buffer.concat([sealed, Buffer.alloc(1)]))).toBeUndefined();
    expect(new Opener(randomBytes(32), MAX_BYTES).open(sealed)).toBeUndefined();
    expect(new Opener(KEY, 99).open(sealed)).toBeUndefined();
    expect(opener.open(sealed)).toBeDefined();
  });

  it('says how many did not come before it, and those do not open any more', () => {
    const sealer = new Sealer(KEY);
    const [first, second, third, fourth] = [1, 2, 3, 4].map((kind) => sealer.seal(kind, Buffer.from('content')));
    const opener = new Opener(KEY, MAX_BYTES);
    expect(opener.open(third)).toMatchObject({ kind: 3, missing: 2 });
    for (const late of [first, second, third]) expect(opener.open(late)).toBeUndefined();
    expect(opener.open(fourth)).toMatchObject({ kind: 4, missing: 0 });
  });

  it('shows nothing of its content, also not that two are equal', () => {
    const sealer = new Sealer(KEY);
    const secret = Buffer.from('a weight, a sample, a gradient: '.repeat(4));
    const [first, second] = [sealer.seal(1, secret), sealer.seal(1, secret)];
    for (let at = 0; at + 8 <= secret.byteLength; at++) expect(first.includes(secret.subarray(at, at + 8))).toBe(false);
    expect(first.subarray(7).equals(second.subarray(7))).toBe(false);
  });
});
