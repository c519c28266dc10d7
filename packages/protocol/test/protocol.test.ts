import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as p from '../src/index.js';

describe('philox', () => {
  // Known answers of Random123 (kat_vectors, philox4x32 10).
  const cases: [p.PhiloxKey, p.PhiloxCounter, number[]][] = [
    [
      [0, 0],
      [0, 0, 0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0xa4093822, 0x299f31d0],
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  it.each(cases)('gives the published numbers for key %j counter %j', (key, counter, expected) => {
    const out = new Uint32Array(4);
    p.philox(key, counter, out);
    expect([...out]).toEqual(expected);
  });
});

describe('buckets', () => {
  const shapes = fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 30 });
  it('cover the layout once, from its end to its start, in whole parameters that are large enough', () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 1024, max: 20_000 }), (sizes, bucketBytes) => {
        const specs = sizes.map((size, index) => ({ name: `p${index}`, shape: [size], role: 'trainable' as const }));
        const layout = p.createLayout(specs);
        const buckets = p.bucketsOf(layout, bucketBytes);
        const offsets = new Set(layout.parameters.map(({ offset }) => offset));
        let end = layout.totalSize;
        for (const bucket of buckets) {
          expect(bucket.end).toBe(end);
          expect(offsets.has(bucket.start)).toBe(true);
          if (bucket.start > 0) expect((bucket.end - bucket.start) * 4).toBeGreaterThanOrEqual(bucketBytes);
          end = bucket.start;
        }
        expect(end).toBe(0);
      }),
    );
  });
});

describe('grains', () => {
  const plans = fc.record({
    samples: fc.integer({ min: 1, max: 500 }),
    grains: fc.integer({ min: 1, max: 9 }),
    grainSize: fc.integer({ min: 1, max: 20 }),
  });
  it('consume every position of an epoch once, whatever the sizes', () => {
    fc.assert(
      fc.property(plans, fc.integer({ min: 0, max: 3 }), (plan, epoch) => {
        const seen: number[] = [];
        const perEpoch = p.stepsPerEpoch(plan);
        for (let step = epoch * perEpoch; step < (epoch + 1) * perEpoch; step++) {
          const planned = p.planStep(plan, step);
          expect(planned.epoch).toBe(epoch);
          expect(planned.endsEpoch).toBe(step === (epoch + 1) * perEpoch - 1);
          expect(planned.grains.reduce((sum, grain) => sum + grain.count, 0)).toBe(planned.samples);
          for (const grain of planned.grains) for (let i = 0; i < grain.count; i++) seen.push(grain.position + i);
        }
        expect(seen).toEqual(Array.from({ length: plan.samples }, (_, i) => i));
      }),
    );
  });
});

describe('assignByShare', () => {
  it('gives every item to exactly one rank, within one of its share', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 50 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 9 }),
        fc.nat(100),
        (count, shares, rotation) => {
          const items = Array.from({ length: count }, (_, i) => i);
          const assigned = p.assignByShare(items, shares, rotation);
          expect(assigned.flat()).toEqual(items);
          const total = shares.reduce((a, b) => a + b, 0);
          assigned.forEach((mine, rank) => {
            expect(Math.abs(mine.length - (count * shares[rank]) / total)).toBeLessThan(1);
          });
        },
      ),
    );
  });
  it('rotates the idle rank when there are fewer items than ranks', () => {
    const idle = [0, 1, 2].map((step) =>
      p.assignByShare([0, 1], [1, 1, 1], step).findIndex((mine) => mine.length === 0),
    );
    expect(new Set(idle).size).toBe(3);
  });
});

describe('metrics', () => {
  it('of as many grains as a step may have do not overflow', () => {
    const words = new Int32Array(p.metricWords([]));
    for (let grain = 0; grain < 65_535; grain++)
      p.addMetrics({ loss: -0.1, correct: 2 ** 19, samples: 2 ** 20 }, words);
    const { loss, correct, samples } = p.readMetrics(words);
    expect(Math.abs(loss + 6553.5)).toBeLessThan(0.1);
    expect([correct, samples]).toEqual([65_535 * 2 ** 19, 65_535 * 2 ** 20]);
  });

  it('have the same sum in any order and grouping', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            loss: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
            correct: fc.nat(1000),
            samples: fc.nat(1000),
          }),
          { maxLength: 40 },
        ),
        fc.nat(40),
        (list, cut) => {
          const sum = (values: p.MetricSums[]) => {
            const words = new Int32Array(p.metricWords([]));
            for (const value of values) p.addMetrics(value, words);
            return words;
          };
          const whole = sum(list);
          const left = sum(list.slice(0, cut).reverse());
          const right = sum(list.slice(cut));
          const joined = left.map((word, i) => word + right[i]);
          expect(p.readMetrics(joined)).toEqual(p.readMetrics(whole));
          const exact = list.reduce((total, value) => total + value.loss, 0);
          expect(Math.abs(p.readMetrics(whole).loss - exact)).toBeLessThan(1e-4);
          expect(p.readMetrics(whole).correct).toBe(list.reduce((total, value) => total + value.correct, 0));
        },
      ),
    );
  });
});

describe('layout', () => {
  it('starts every parameter on a block and finds the parameter of a block', () => {
    const layout = p.createLayout([
      { name: 'a', shape: [3, 100], role: 'trainable' },
      { name: 'b', shape: [], role: 'trainable' },
      { name: 'c', shape: [256], role: 'statistic' },
    ]);
    expect(layout.parameters.map((parameter) => [parameter.offset, parameter.size])).toEqual([
      [0, 300],
      [512, 1],
      [768, 256],
    ]);
    expect(layout.totalSize).toBe(1024);
    expect([0, 1, 2, 3].map((block) => p.parameterOfBlock(layout, block).name)).toEqual(['a', 'a', 'b', 'c']);
    expect(() => p.parameterOfBlock(layout, 4)).toThrow(RangeError);
  });
});

describe('messages', () => {
  const from = 'worker w1';
  it('survive the wire', () => {
    const message: p.WorkerMessage = { type: 'heartbeat', step: 3, generation: 1, phase: 'ring' };
    expect(p.decodeMessage(p.workerMessageSchema, p.encodeMessage(message), { from })).toEqual(message);
  });
  it('are refused with the place of the first wrong value', () => {
    const frame = p.encodeMessage({ type: 'heartbeat', step: -1, generation: 1, phase: 'ring' });
    expect(() => p.decodeMessage(p.workerMessageSchema, frame, { from })).toThrow(
      /worker w1 sent a message that is wrong at step/,
    );
  });
  it('are refused when too large, and when they are no MessagePack', () => {
    expect(() => p.decodeMessage(p.helloSchema, new Uint8Array(100), { from, limitBytes: 99 })).toThrow(
      /100 bytes; the limit here is 99/,
    );
    expect(() => p.decodeMessage(p.helloSchema, new Uint8Array([0xc1, 1, 2]), { from })).toThrow(p.CoordError);
  });
  it('of any garbage never crash the reader', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (frame) => {
        try {
          p.decodeMessage(p.workerMessageSchema, frame, { from });
        } catch (error) {
          expect(p.isCoordError(error, 'FRAME_INVALID', 'MESSAGE_INVALID')).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('join proof', () => {
  const nonces = { serverNonce: p.createNonce(), clientNonce: p.createNonce() };
  it('is accepted from who knows the token, and from nobody else, nor reflected', () => {
    const proof = p.joinProof('secret', 'worker', nonces);
    expect(p.isJoinProof(proof, 'secret', 'worker', nonces)).toBe(true);
    expect(p.isJoinProof(proof, 'Secret', 'worker', nonces)).toBe(false);
    expect(p.isJoinProof(proof, 'secret', 'coordinator', nonces)).toBe(false);
    expect(p.isJoinProof(proof, 'secret', 'worker', { ...nonces, serverNonce: p.createNonce() })).toBe(false);
  });
});

describe('the code of an error that another process names', () => {
  it('is one of ours, or none: what every object has is no code', () => {
    expect(p.knownErrorCode('TOKEN_WRONG')).toBe('TOKEN_WRONG');
    for (const code of ['', 'UNEXPECTED', 'constructor', 'toString', '__proto__'])
      expect(p.knownErrorCode(code), code).toBeUndefined();
  });
});
