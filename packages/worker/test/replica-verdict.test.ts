import { createLayout } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DIGEST_BYTES, isUnanimous, SPREAD_BYTES, spreadDigest } from '../src/replica-digest.js';
import { decodeTestimony, encodeTestimony, judgeReplicas, type Testimony } from '../src/replica-verdict.js';
import { differencesBetween } from '../src/state-differences.js';

const witness = (state: string, more: Partial<Testimony> = {}): Testimony => ({
  step: 7,
  weightsSha256: state.repeat(64),
  stateSha256: state.repeat(64),
  isIntact: true,
  ...more,
});

describe('digests that are reduced by max', () => {
  const digest = fc.uint8Array({ minLength: DIGEST_BYTES, maxLength: DIGEST_BYTES });

  const reduced = (digests: readonly Uint8Array[]): Uint8Array => {
    const out = new Uint8Array(SPREAD_BYTES);
    for (const one of digests) {
      const bytes = new Uint8Array(SPREAD_BYTES);
      spreadDigest(one, bytes);
      bytes.forEach((byte, index) => {
        out[index] = Math.max(out[index], byte);
      });
    }
    return out;
  };

  it('meet if and only if all are equal', () => {
    fc.assert(
      fc.property(digest, fc.array(digest, { maxLength: 4 }), (first, others) => {
        const all = [first, ...others];
        const areEqual = all.every((one) => Buffer.compare(one, first) === 0);
        expect(isUnanimous(reduced(all))).toBe(areEqual);
        expect(isUnanimous(reduced(all.map(() => first)))).toBe(true);
      }),
    );
  });

  it('one bit apart do not meet', () => {
    const one = new Uint8Array(DIGEST_BYTES);
    const other = one.slice();
    other[DIGEST_BYTES - 1] = 1;
    expect(isUnanimous(reduced([one, other, one]))).toBe(false);
  });
});

describe('who is right when replicas differ', () => {
  it('the majority, and the odd one copies', () => {
    const verdict = judgeReplicas([witness('a'), witness('b'), witness('a')]);
    expect(verdict).toEqual({ sources: [0, 2], dissenters: [1] });
  });

  it('only the highest step counts', () => {
    const verdict = judgeReplicas([witness('b', { step: 6 }), witness('a'), witness('b', { step: 6 })]);
    expect(verdict).toEqual({ sources: [1], dissenters: [] });
  });

  it('whoever knows that its memory changed has no vote, so that of two one is right', () => {
    const verdict = judgeReplicas([witness('a', { isIntact: false }), witness('b')]);
    expect(verdict).toEqual({ sources: [1], dissenters: [0] });
  });

  it('nobody, when two believe in different states', () => {
    expect(judgeReplicas([witness('a'), witness('b')])).toEqual({ sources: [], dissenters: [0, 1] });
  });

  it('nobody, when all know that they are wrong', () => {
    const all = [witness('a', { isIntact: false }), witness('b', { isIntact: false })];
    expect(judgeReplicas(all).sources).toEqual([]);
  });

  it('testimonies survive the wire', () => {
    const testimony = witness('c', { isIntact: false, weightsSha256: 'd'.repeat(64) });
    expect(decodeTestimony(encodeTestimony(testimony))).toEqual(testimony);
  });
});

describe('the evidence', () => {
  const layout = createLayout([
    { name: 'kernel', shape: [2, 3], role: 'trainable' },
    { name: 'bias', shape: [3], role: 'trainable' },
  ]);
  const state = () => ({
    step: 3,
    layout,
    weights: new Float32Array(layout.totalSize).fill(0.5),
    slots: new Map([['momentum', new Float32Array(layout.totalSize)]]),
    exponents: new Uint8Array(layout.blockCount),
  });

  it('names parameters, slots and exponents that differ, how often, and the first of them', () => {
    const found = state();
    const { offset } = layout.parameters[1];
    found.weights[offset + 1] = Number.NaN;
    found.weights[offset + 2] = -0.5;
    found.slots.get('momentum')![0] = -0;
    found.exponents[1] = 9;
    expect(differencesBetween(found, state())).toEqual([
      { name: 'bias', count: 2, firstIndex: 1, found: 'NaN', expected: '0.5' },
      { name: 'momentum kernel', count: 1, firstIndex: 0, found: '0', expected: '0' },
      { name: 'exponents', count: 1, firstIndex: 1, found: '9', expected: '0' },
    ]);
  });

  it('is empty for equal states', () => {
    expect(differencesBetween(state(), state())).toEqual([]);
  });
});
