import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sampleOrder } from '../src/sample-order.js';

const positions = (samples: number): number[] => Array.from({ length: samples }, (_, index) => index);
const seeds = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

/** Pearson's statistic of counts that should be equal. */
function chiSquare(counts: readonly number[], draws: number): number {
  const expected = draws / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** Mean + 5 standard deviations of the chi-square distribution: exceeded once in more than a million. */
const bound = (freedom: number): number => freedom + 5 * Math.sqrt(2 * freedom);

describe('sampleOrder', () => {
  it('gives every sample exactly once an epoch, for any size, seed and epoch', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), seeds, fc.nat(1e6), (samples, seed, epoch) => {
        const order = sampleOrder(seed, epoch, samples);
        expect(new Set(positions(samples).map(order.at)).size).toBe(samples);
        for (const position of positions(samples)) expect(order.at(position)).toBeLessThan(samples);
      }),
      { numRuns: 150 },
    );
  });

  it('permutes 60,000 samples without a repetition', () => {
    const order = sampleOrder(1, 0, 60_000);
    const seen = new Uint8Array(60_000);
    for (const position of positions(60_000)) seen[order.at(position)]++;
    expect(seen.every((times) => times === 1)).toBe(true);
  });

  it('stays inside the range where positions need more than 32 bits', () => {
    const samples = 2 ** 40 + 7;
    const order = sampleOrder(5, 2, samples);
    for (let position = samples - 500; position < samples; position++) {
      const sample = order.at(position);
      expect(Number.isInteger(sample) && sample >= 0 && sample < samples).toBe(true);
    }
  });

  it('is the same for the same seed, epoch and size, in whatever order it is asked', () => {
    const forwards = positions(1000).map(sampleOrder(42, 3, 1000).at);
    const backwards = positions(1000)
      .reverse()
      .map(sampleOrder(42, 3, 1000).at);
    expect(backwards.reverse()).toEqual(forwards);
  });

  it('never changes from one version to the next, or resumed runs would differ', () => {
    expect(positions(8).map(sampleOrder(0, 0, 60_000).at)).toEqual([
      58193, 16397, 38202, 55188, 5982, 28519, 37183, 4220,
    ]);
    expect(positions(8).map(sampleOrder(2 ** 40 + 1, 7, 1000).at)).toEqual([905, 345, 861, 344, 26, 92, 33, 86]);
  });

  it('differs between epochs and between seeds', () => {
    const reference = positions(1000).map(sampleOrder(1, 0, 1000).at);
    const fixed = (other: readonly number[]) => other.filter((sample, index) => sample === reference[index]).length;
    for (const other of [sampleOrder(1, 1, 1000), sampleOrder(2, 0, 1000), sampleOrder(1 + 2 ** 32, 0, 1000)]) {
      expect(fixed(positions(1000).map(other.at))).toBeLessThan(15);
    }
  });

  it('gives all 24 permutations of 4 samples equally often', () => {
    const draws = 24_000;
    const counts = new Map<string, number>();
    for (let seed = 0; seed < draws; seed++) {
      const text = positions(4)
        .map(sampleOrder(seed, 0, 4).at)
        .join('');
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    expect(chiSquare([...counts.values()], draws)).toBeLessThan(bound(23));
  });

  it.each([5, 7, 30, 97])('puts every one of %i samples at every position equally often', (samples) => {
    const epochs = 200 * samples;
    const counts = new Array<number>(samples * samples).fill(0);
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = sampleOrder(9, epoch, samples);
      for (const position of positions(samples)) counts[position * samples + order.at(position)]++;
    }
    expect(chiSquare(counts, epochs * samples)).toBeLessThan(bound((samples - 1) ** 2));
  });

  it('leaves no trace of the neighbourhood: differences of successive samples are spread like a shuffle’s', () => {
    const samples = 60_000;
    const bins = 50;
    const order = sampleOrder(3, 0, samples);
    const counts = new Array<number>(bins).fill(0);
    for (let position = 1; position < samples; position++) {
      const difference = (order.at(position) - order.at(position - 1) + samples) % samples;
      counts[Math.floor((difference / samples) * bins)]++;
    }
    expect(chiSquare(counts, samples - 1)).toBeLessThan(bound(bins - 1));
  });

  it.each([-1, 10, 1.5, Number.NaN])('refuses position %d of 10', (position) => {
    expect(() => sampleOrder(0, 0, 10).at(position)).toThrow(RangeError);
  });
});
