import { topologyOf } from '@coord/models';
import * as tfl from '@tensorflow/tfjs-layers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../src/create-engine.js';
import type { StepSpec } from '../src/engine.js';
import { type Distribution, fillRandom } from '../src/step/random-values.js';
import { inputField, labelField, randomBatch, randomWeights } from './support.js';

const filled = (
  distribution: Distribution,
  length: number,
  key = { step: 0, grain: 0 },
  layer = 'a',
  index = 0,
  seed = 1,
) => {
  const out = new Float32Array(length);
  fillRandom({ layer, index, shape: [length], distribution }, seed, key, out);
  return out;
};

const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('random values of a step', () => {
  it('keep a share of 1 − rate', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.01, max: 0.99, noNaN: true }), fc.nat(1e6), (rate, step) => {
        // Six standard deviations of the mean of 20,000 draws.
        const tolerance = 6 * Math.sqrt((rate * (1 - rate)) / 20_000) + 2 ** -16;
        expect(Math.abs(mean(filled({ kind: 'keep', rate }, 20_000, { step, grain: 0 })) - (1 - rate))).toBeLessThan(
          tolerance,
        );
      }),
      { numRuns: 20 },
    );
  });

  it('are normal with mean 0 and deviation 1', () => {
    const values = filled({ kind: 'normal' }, 100_001);
    expect(Math.abs(mean(values))).toBeLessThan(0.02);
    expect(mean(values.map((value) => value * value))).toBeCloseTo(1, 1);
    expect(values.every(Number.isFinite)).toBe(true);
  });

  it('depend on seed, step, grain, layer and draw, and on nothing else', () => {
    const half: Distribution = { kind: 'keep', rate: 0.5 };
    const base = filled(half, 256).join();
    expect(filled(half, 256).join()).toBe(base);
    const others = [
      filled(half, 256, { step: 1, grain: 0 }),
      filled(half, 256, { step: 0, grain: 1 }),
      filled(half, 256, undefined, 'b'),
      filled(half, 256, undefined, 'a', 1),
      filled(half, 256, undefined, 'a', 0, 2),
    ].map((values) => values.join());
    expect(new Set([base, ...others]).size).toBe(6);
  });
});

const { dense, dropout } = tfl.layers;

const spec: StepSpec = {
  topology: topologyOf(
    tfl.sequential({
      layers: [
        dense({ name: 'a', units: 16, inputShape: [6] }),
        dropout({ name: 'drop', rate: 0.5 }),
        dense({ name: 'b', units: 3, activation: 'softmax' }),
      ],
    }),
  ),
  loss: 'categoricalCrossentropy',
  inputs: [inputField([6])],
  targets: [labelField],
  seed: 3,
};

describe.each(['ort', 'tfjs-cpu'] as const)('dropout on %s', async (name) => {
  const step = await (await createEngine({ name, threads: 1 })).compile(spec);
  const weights = randomWeights(spec.topology, 1);
  const batch = randomBatch(spec, 5, 1, 3);
  const lossAt = async (key: { step: number; grain: number }) =>
    (await step.gradient(weights, batch, key, new Float32Array(step.layout.totalSize))).loss;

  it('repeats for the same step and grain, and changes with either', async () => {
    const first = await lossAt({ step: 4, grain: 2 });
    const others = [await lossAt({ step: 5, grain: 2 }), await lossAt({ step: 4, grain: 3 })];
    expect(await lossAt({ step: 4, grain: 2 })).toBe(first);
    expect(new Set([first, ...others]).size).toBe(3);
  });

  it('takes no part in evaluation', async () => {
    expect(await step.evaluate(weights, batch)).toEqual(await step.evaluate(weights, batch));
    const [probabilities] = await step.predict(weights, batch.inputs, batch.count);
    const loss = [...batch.targets[0]].reduce(
      (sum, label, sample) => sum - Math.log(probabilities[3 * sample + label]),
      0,
    );
    expect((await step.evaluate(weights, batch)).loss).toBeCloseTo(loss, 4);
  });
});

const recurrentInitializer = 'glorotUniform' as const;

describe.each(['ort', 'tfjs-cpu'] as const)('dropout inside recurrent cells on %s', async (name) => {
  const engine = await createEngine({ name, threads: 1 });
  const cells = () => [
    tfl.layers.lstmCell({ units: 4, dropout: 0.5, recurrentInitializer }),
    tfl.layers.gruCell({ units: 4, recurrentDropout: 0.5, recurrentInitializer }),
  ];

  it.each([
    ['lstm', () => tfl.layers.lstm({ units: 4, dropout: 0.5, recurrentInitializer, inputShape: [3, 6] })],
    ['stacked cells', () => tfl.layers.rnn({ cell: cells(), inputShape: [3, 6] })],
  ] as const)('depends on step and grain alone: %s', async (_, make) => {
    const model = tfl.sequential({ layers: [make(), dense({ name: 'b', units: 3, activation: 'softmax' })] });
    const recurrent: StepSpec = { ...spec, topology: topologyOf(model), inputs: [inputField([3, 6])] };
    const step = await engine.compile(recurrent);
    const weights = randomWeights(recurrent.topology, 1);
    const batch = randomBatch(recurrent, 5, 1, 3);
    const lossAt = async (key: { step: number; grain: number }) =>
      (await step.gradient(weights, batch, key, new Float32Array(step.layout.totalSize))).loss;
    const first = await lossAt({ step: 4, grain: 2 });
    const others = [await lossAt({ step: 5, grain: 2 }), await lossAt({ step: 4, grain: 3 })];
    expect(await lossAt({ step: 4, grain: 2 })).toBe(first);
    expect(new Set([first, ...others]).size).toBe(3);
    expect(await step.evaluate(weights, batch)).toEqual(await step.evaluate(weights, batch));
  });
});
