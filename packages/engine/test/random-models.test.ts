import { topologyOf } from '@coord/models';
import * as tfl from '@tensorflow/tfjs-layers';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { StepSpec } from '../src/engine.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { withBackend } from '../src/tensors.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { gradientOf, inputField, labelField, randomBatch, randomWeights, worstDifference } from './support.js';

const L = tfl.layers;

/** One layer of a random image model; sizes are chosen so that any sequence of them fits. */
const imageLayer = fc.oneof(
  fc
    .record({
      filters: fc.constantFrom(3, 8, 16, 32),
      kernelSize: fc.constantFrom(1, 2, 3),
      strides: fc.constantFrom(1, 1, 2),
      activation: fc.constantFrom('linear' as const, 'tanh' as const, 'relu' as const, 'sigmoid' as const),
      useBias: fc.boolean(),
    })
    .map((options) => ({
      title: `conv ${JSON.stringify(options)}`,
      make: () => L.conv2d({ ...options, padding: 'same' }),
    })),
  fc.constantFrom(
    { title: 'max pool', make: () => L.maxPooling2d({ poolSize: 2, padding: 'same' }) },
    { title: 'average pool', make: () => L.averagePooling2d({ poolSize: 2, padding: 'same' }) },
    { title: 'batch norm', make: () => L.batchNormalization({ epsilon: 0.1 }) },
    { title: 'depthwise', make: () => L.depthwiseConv2d({ kernelSize: 3, padding: 'same' }) },
    { title: 'dropout', make: () => L.dropout({ rate: 0.2 }) },
    { title: 'swish', make: () => L.activation({ activation: 'swish' as 'relu' }) },
    { title: 'upsample', make: () => L.upSampling2d({ size: [2, 1] }) },
    {
      title: 'bilinear upsample',
      make: () => L.upSampling2d({ size: [1, 2], interpolation: 'bilinear' as const }),
    },
    { title: 'transposed', make: () => L.conv2dTranspose({ filters: 8, kernelSize: 3, padding: 'same' }) },
    { title: 'separable', make: () => L.separableConv2d({ filters: 16, kernelSize: 3, padding: 'same' }) },
    {
      title: 'dilated',
      make: () => L.conv2d({ filters: 16, kernelSize: 2, dilationRate: 2, padding: 'same', activation: 'tanh' }),
    },
    { title: 'layer norm', make: () => L.layerNormalization({ epsilon: 0.1 }) },
    { title: 'softplus', make: () => L.activation({ activation: 'softplus' }) },
  ),
);

/** Which layers are wrapped by a sum with their input, where shapes allow. */
const block = fc.record({ layer: imageLayer, isResidual: fc.boolean() });

const model = fc.record({
  size: fc.tuple(fc.integer({ min: 3, max: 7 }), fc.integer({ min: 3, max: 7 }), fc.constantFrom(1, 3, 16)),
  blocks: fc.array(block, { minLength: 1, maxLength: 5 }),
  count: fc.constantFrom(2, 3, 7, 16),
  seed: fc.nat(1000),
});

function specOf(
  size: number[],
  blocks: readonly { layer: { make(): tfl.layers.Layer }; isResidual: boolean }[],
): StepSpec {
  const topology = withBackend('cpu', () => {
    const input = tfl.input({ shape: size });
    const body = blocks.reduce((x, { layer, isResidual }) => {
      const y = layer.make().apply(x) as tfl.SymbolicTensor;
      const fits = isResidual && x !== y && x.shape.join() === y.shape.join();
      return fits ? (L.add().apply([x, y]) as tfl.SymbolicTensor) : y;
    }, input);
    const pooled = L.globalAveragePooling2d({}).apply(body) as tfl.SymbolicTensor;
    const head = L.dense({ units: 3, activation: 'softmax' }).apply(pooled) as tfl.SymbolicTensor;
    return topologyOf(tfl.model({ inputs: input, outputs: head }));
  });
  return { topology, loss: 'categoricalCrossentropy', inputs: [inputField(size)], targets: [labelField], seed: 4 };
}

const reference = createEagerEngine();
const engines = [
  await createOrtEngine({ threads: 1 }),
  await createOrtEngine({ threads: 1, layout: 'plain' }),
  await createOrtEngine({ threads: 1, kernelsFrom: 0 }),
];

it('random small models have the gradients of eager tfjs', async () => {
  await fc.assert(
    fc.asyncProperty(model, async ({ size, blocks, count, seed }) => {
      const spec = specOf([...size], blocks);
      const weights = randomWeights(spec.topology, seed);
      const batch = randomBatch(spec, count, seed, 3);
      const expected = await gradientOf(reference, spec, weights, batch);
      const largest = expected.gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      for (const engine of engines) {
        const actual = await gradientOf(engine, spec, weights, batch);
        const { name, error } = worstDifference(expected.layout, expected.gradient, actual.gradient, 1e-2 * largest);
        expect(error, name).toBeLessThan(1e-4);
      }
    }),
    { numRuns: 40, seed: 20 },
  );
});
