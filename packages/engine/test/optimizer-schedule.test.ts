import { createLayout, regularizationSpecSchema, scheduleSpecSchema, viewOf } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cosineOfPi, powerOf } from '../src/optimizer/exact-math.js';
import { applyRegularization, globalNorm, learningRateAt } from '../src/optimizer/index.js';
import { LAYOUT, randomFlat } from './optimizer-cases.js';

const schedule = (options: object) => scheduleSpecSchema.parse(options);
const TOTAL = 100;

describe('learningRateAt', () => {
  const ratesOf = (options: object, steps: readonly number[]) =>
    steps.map((step) => learningRateAt(schedule(options), 0.1, step, TOTAL));

  it('constant never changes', () => {
    expect(ratesOf({ name: 'constant' }, [0, 50, 99])).toEqual([0.1, 0.1, 0.1]);
  });

  it('step falls by the factor every so many steps', () => {
    const rates = ratesOf({ name: 'step', everySteps: 30, factor: 0.5 }, [0, 29, 30, 60, 99]);
    expect(rates).toEqual([0.1, 0.1, 0.05, 0.025, 0.0125]);
  });

  it('exponential multiplies by the same number in every step', () => {
    const [first, second, late] = ratesOf({ name: 'exponential', decayPerStep: 0.9 }, [0, 1, 50]);
    expect(first).toBe(0.1);
    expect(second).toBeCloseTo(0.09, 15);
    expect(late).toBeCloseTo(0.1 * 0.9 ** 50, 15);
  });

  it('cosine goes from the base rate over the middle to the floor and stays there', () => {
    const rates = ratesOf({ name: 'cosine', floor: 0.2, decaySteps: 80 }, [0, 40, 80, 99]);
    [0.1, 0.06, 0.02, 0.02].forEach((expected, i) => {
      expect(rates[i]).toBeCloseTo(expected, 15);
    });
  });

  it('cosine without decaySteps ends with the run, warm-up included', () => {
    const options = { name: 'cosine', warmupSteps: 20 };
    const [middle, end] = ratesOf(options, [60, 100]);
    expect(middle).toBeCloseTo(0.05, 15);
    expect(end).toBe(0);
  });

  it('warm-up rises in equal parts to the base rate', () => {
    const rates = ratesOf({ name: 'constant', warmupSteps: 4 }, [0, 1, 2, 3, 4]);
    [0.025, 0.05, 0.075, 0.1, 0.1].forEach((expected, i) => {
      expect(rates[i]).toBeCloseTo(expected, 15);
    });
  });

  it('is never negative and never above the base rate', () => {
    const warmupSteps = fc.integer({ min: 0, max: 50 });
    const floor = fc.double({ min: 0, max: 1, noNaN: true });
    const specs = fc.oneof(
      fc.record({ name: fc.constant('cosine'), floor, warmupSteps }),
      fc.record({ name: fc.constant('step'), everySteps: fc.integer({ min: 1, max: 40 }), warmupSteps }),
      fc.record({ name: fc.constant('exponential'), decayPerStep: fc.constant(0.99), warmupSteps }),
    );
    fc.assert(
      fc.property(specs, fc.integer({ min: 0, max: 150 }), (options, step) => {
        const rate = learningRateAt(schedule(options), 0.1, step, TOTAL);
        expect(rate).toBeGreaterThanOrEqual(0);
        expect(rate).toBeLessThanOrEqual(0.1 * (1 + 1e-15));
      }),
    );
  });
});

describe('exact math', () => {
  it('powers agree with Math.pow', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 10_000 }), (base, exponent) => {
        const expected = base ** exponent;
        expect(Math.abs(powerOf(base, exponent) - expected)).toBeLessThanOrEqual(1e-11 * expected + 1e-300);
      }),
    );
  });

  it('cosines agree with Math.cos', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (x) => {
        expect(Math.abs(cosineOfPi(x) - Math.cos(Math.PI * x))).toBeLessThan(1e-15);
      }),
    );
  });
});

describe('applyRegularization', () => {
  const apply = (options: object, gradients: Float32Array, weights = randomFlat(LAYOUT, 1)) =>
    applyRegularization(regularizationSpecSchema.parse(options), LAYOUT, weights, gradients);
  const statistics = LAYOUT.parameters.filter(({ role }) => role === 'statistic');
  const trainable = LAYOUT.parameters.filter(({ role }) => role === 'trainable');

  it('changes nothing when nothing is asked for', () => {
    const gradients = randomFlat(LAYOUT, 2);
    apply({}, gradients);
    expect(gradients).toEqual(randomFlat(LAYOUT, 2));
  });

  it('adds the gradient of l1·Σ|w| + l2·Σw² to every trainable weight', () => {
    const [weights, gradients, before] = [randomFlat(LAYOUT, 1), randomFlat(LAYOUT, 2), randomFlat(LAYOUT, 2)];
    apply({ l1: 0.25, l2: 0.125 }, gradients, weights);
    for (const { offset, size } of trainable) {
      for (let i = offset; i < offset + size; i++) {
        expect(gradients[i]).toBeCloseTo(before[i] + 0.25 * Math.sign(weights[i]) + 0.25 * weights[i], 6);
      }
    }
  });

  it('clips to the global norm and keeps the direction', () => {
    const [gradients, before] = [randomFlat(LAYOUT, 2), randomFlat(LAYOUT, 2)];
    const norm = globalNorm(LAYOUT, before);
    apply({ clipGlobalNorm: 0.5 }, gradients);
    expect(globalNorm(LAYOUT, gradients)).toBeCloseTo(0.5, 6);
    for (const { offset } of trainable) expect(gradients[offset] / before[offset]).toBeCloseTo(0.5 / norm, 6);
  });

  it('leaves gradients alone whose norm is below the limit', () => {
    const gradients = randomFlat(LAYOUT, 2);
    apply({ clipGlobalNorm: 1000 }, gradients);
    expect(gradients).toEqual(randomFlat(LAYOUT, 2));
  });

  it('neither counts nor changes statistics and padding', () => {
    const gradients = randomFlat(LAYOUT, 2);
    for (const parameter of statistics) viewOf(parameter, gradients).fill(1e6);
    const norm = globalNorm(LAYOUT, gradients);
    expect(norm).toBe(globalNorm(LAYOUT, randomFlat(LAYOUT, 2)));
    apply({ l1: 1, l2: 1, clipGlobalNorm: 1e-3 }, gradients);
    for (const parameter of statistics) expect(viewOf(parameter, gradients).every((value) => value === 1e6)).toBe(true);
    for (const parameter of LAYOUT.parameters) viewOf(parameter, gradients).fill(0);
    expect(gradients.every((value) => value === 0)).toBe(true);
  });

  it('measures a norm that float32 could not hold', () => {
    const layout = createLayout([{ name: 'w', shape: [2], role: 'trainable' }]);
    const gradients = new Float32Array(layout.totalSize);
    gradients.set([3e30, 4e30]);
    expect(globalNorm(layout, gradients) / 5e30).toBeCloseTo(1, 6);
    applyRegularization(regularizationSpecSchema.parse({ clipGlobalNorm: 5 }), layout, gradients, gradients);
    expect([...gradients.slice(0, 2)]).toEqual([expect.closeTo(3, 5), expect.closeTo(4, 5)]);
  });
});
