import type { PhaseTimes, RingSpec } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { Overlap } from '../src/overlap.js';

const spec = (overlap: RingSpec['overlap']): RingSpec => ({ overlap, bucketBytes: 1024 });
const known = Uint8Array.of(0, 120);
const silent = new Uint8Array(2);
const step = (ringMs: number): PhaseTimes => ({
  loadMs: 0,
  computeMs: 90 - ringMs,
  waitMs: 5,
  ringMs,
  optimizerMs: 5,
  totalMs: 100,
});
const nobody = { overlap: false };

describe('overlap', () => {
  it('is a matter of configuration, but for one host alone and for the first step', () => {
    expect(new Overlap(spec('on'), 2, 5).isOn(known)).toBe(true);
    expect(new Overlap(spec('off'), 2, 5).isOn(known)).toBe(false);
    expect(new Overlap(spec('on'), 1, 5).isOn(known)).toBe(false);
    expect(new Overlap(spec('on'), 2, 5).isOn(silent)).toBe(false);
  });

  it('is wanted after three steps in a row that spent more than a tenth on reducing', () => {
    const overlap = new Overlap(spec('auto'), 2, 5);
    for (const ringMs of [20, 20, 1, 20, 20]) overlap.learn(nobody, step(ringMs));
    expect(overlap.isWanted).toBe(false);
    overlap.learn(nobody, step(20));
    expect(overlap.isWanted).toBe(true);
    expect(overlap.isOn(known)).toBe(false);
  });

  it('begins for all hosts when one has said that it wants it, and stays', () => {
    const overlap = new Overlap(spec('auto'), 2, 5);
    overlap.learn({ overlap: true }, step(1));
    expect(overlap.isOn(known)).toBe(true);
    overlap.learn(nobody, undefined);
    expect(overlap.isOn(known)).toBe(true);
  });

  it('is never wanted where there is but one bucket', () => {
    const overlap = new Overlap(spec('auto'), 2, 1);
    for (let at = 0; at < 10; at++) overlap.learn(nobody, step(50));
    expect(overlap.isWanted).toBe(false);
  });
});
