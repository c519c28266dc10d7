import { layers as own, topologyOf } from '@coord/models';
import * as tfl from '@tensorflow/tfjs-layers';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { StepSpec } from '../src/engine.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { withBackend } from '../src/tensors.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { gradientOf, inputField, labelField, randomBatch, randomWeights, worstDifference } from './support.js';

const L = tfl.layers;
const CLASSES = 4;

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

/** The same for sequences: heads of every width, rows of whole vectors and not. */
const sequenceLayer = fc.oneof(
  fc
    .record({
      units: fc.constantFrom(4, 6, 12, 16, 20),
      activation: fc.constantFrom('linear' as const, 'tanh' as const, 'relu' as const, 'gelu' as 'relu'),
      useBias: fc.boolean(),
    })
    .map((options) => ({ title: `dense ${JSON.stringify(options)}`, make: () => L.dense(options) })),
  fc.record({ heads: fc.constantFrom(1, 2), causal: fc.boolean() }).map((options) => ({
    title: `attention ${JSON.stringify(options)}`,
    make: () => new own.SelfAttention(options) as tfl.layers.Layer,
  })),
  fc.constantFrom(
    { title: 'layer norm', make: () => L.layerNormalization({ epsilon: 0.1 }) },
    { title: 'positions', make: () => new own.PositionEmbedding() as tfl.layers.Layer },
    { title: 'softmax', make: () => L.softmax({ axis: -1 }) },
    { title: 'dropout', make: () => L.dropout({ rate: 0.2 }) },
    { title: 'conv', make: () => L.conv1d({ filters: 12, kernelSize: 3, padding: 'same' }) },
  ),
);

interface Layer {
  readonly title: string;
  make(): tfl.layers.Layer;
}

/** Which layers are wrapped by a sum with their input, where shapes allow. */
const blocksOf = (layer: fc.Arbitrary<Layer>) =>
  fc.array(fc.record({ layer, isResidual: fc.boolean() }), { minLength: 1, maxLength: 5 });
type Blocks = readonly { layer: Layer; isResidual: boolean }[];

const rest = { count: fc.constantFrom(2, 3, 7, 16), seed: fc.nat(1000), isPerPlace: fc.boolean() };
const imageModel = fc.record({
  size: fc.tuple(fc.integer({ min: 3, max: 7 }), fc.integer({ min: 3, max: 7 }), fc.constantFrom(1, 3, 16)),
  blocks: blocksOf(imageLayer),
  ...rest,
  isPerPlace: fc.constant(false),
});
const sequenceModel = fc.record({
  size: fc.tuple(fc.integer({ min: 2, max: 9 }), fc.constantFrom(2, 4, 6, 12, 20)),
  blocks: blocksOf(sequenceLayer),
  ...rest,
});

/** @param isPerPlace one label for each place of a sequence, not for the whole sample. */
function specOf(size: number[], blocks: Blocks, isPerPlace: boolean): StepSpec {
  const topology = withBackend('cpu', () => {
    const input = tfl.input({ shape: size });
    const body = blocks.reduce((x, { layer, isResidual }) => {
      const y = layer.make().apply(x) as tfl.SymbolicTensor;
      const fits = isResidual && x !== y && x.shape.join() === y.shape.join();
      return fits ? (L.add().apply([x, y]) as tfl.SymbolicTensor) : y;
    }, input);
    const pooling = size.length === 3 ? L.globalAveragePooling2d({}) : L.globalAveragePooling1d({});
    const pooled = isPerPlace ? body : (pooling.apply(body) as tfl.SymbolicTensor);
    const head = L.dense({ units: CLASSES, activation: 'softmax' }).apply(pooled) as tfl.SymbolicTensor;
    return topologyOf(tfl.model({ inputs: input, outputs: head }));
  });
  const target = isPerPlace ? { ...labelField, shape: size.slice(0, -1) } : labelField;
  return { topology, loss: 'categoricalCrossentropy', inputs: [inputField(size)], targets: [target], seed: 4 };
}

const reference = createEagerEngine();
const engines = [
  await createOrtEngine({ threads: 1 }),
  await createOrtEngine({ threads: 1, layout: 'plain' }),
  await createOrtEngine({ threads: 1, kernelsFrom: 0 }),
];

it.each([
  ['images', imageModel],
  ['sequences', sequenceModel],
] as const)('random small models of %s have the gradients of eager tfjs', async (_, model) => {
  await fc.assert(
    fc.asyncProperty(model, async ({ size, blocks, count, seed, isPerPlace }) => {
      const spec = specOf([...size], blocks, isPerPlace);
      const weights = randomWeights(spec.topology, seed);
      const batch = randomBatch(spec, count, seed, CLASSES);
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
