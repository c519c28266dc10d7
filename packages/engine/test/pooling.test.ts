/** Max pooling over flat areas, where several pixels of a window are its maximum: the first has the gradient, as in tfjs. */
import { topologyOf } from '@coord/models';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { withBackend } from '../src/tensors.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { gradientOf, inputField, labelField, randomBatch, randomWeights, worstDifference } from './support.js';

const L = tfl.layers;
const SHAPE = [9, 8, 1];

const ENGINES = {
  'in plain layout': await createOrtEngine({ threads: 1, layout: 'plain' }),
  'in blocked layout': await createOrtEngine({ threads: 1 }),
  'by a kernel of ours': await createOrtEngine({ threads: 1, kernelsFrom: 0 }),
};

function poolOf(activation: 'relu' | 'linear', pool: Parameters<typeof L.maxPooling2d>[0]) {
  const topology = withBackend('cpu', () =>
    topologyOf(
      tfl.sequential({
        layers: [
          L.conv2d({ filters: 16, kernelSize: 1, activation, inputShape: SHAPE }),
          L.maxPooling2d(pool),
          L.flatten(),
          L.dense({ units: 3, activation: 'softmax' }),
        ],
      }),
    ),
  );
  const fields = { inputs: [inputField(SHAPE)], targets: [labelField] };
  return { topology, loss: 'categoricalCrossentropy' as const, seed: 3, ...fields };
}

describe.each(Object.entries(ENGINES))('the slope of equal pixels goes to the first of a window, %s', (_, engine) => {
  it.each([
    ['relu', { poolSize: 2 }],
    ['linear', { poolSize: 2 }],
    ['linear', { poolSize: [3, 2] }],
    ['linear', { poolSize: 3, strides: 2 }],
  ] as const)('%s, %o', async (activation, pool) => {
    const spec = poolOf(activation, pool as Parameters<typeof L.maxPooling2d>[0]);
    const weights = randomWeights(spec.topology, 6);
    const batch = randomBatch(spec, 2, 8, 3);
    // Flat, but for a corner.
    batch.inputs[0].fill(0.5, 20);
    const expected = await gradientOf(createEagerEngine(), spec, weights, batch);
    const actual = await gradientOf(engine, spec, weights, batch);
    const { name, error } = worstDifference(expected.layout, expected.gradient, actual.gradient);
    expect(error, name).toBeLessThan(1e-5);
  });
});
