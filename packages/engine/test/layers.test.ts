import { topologyOf } from '@coord/models';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import type { Engine, StepSpec } from '../src/engine.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { withBackend } from '../src/tensors.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { LAYER_CASES } from './layer-cases/all.js';
import type { LayerCase } from './layer-cases/case.js';
import { gradientOf, inputField, labelField, randomBatch, randomWeights, worstDifference } from './support.js';

const CLASSES = 3;

function specOf({ inputShape, dtype, build }: LayerCase): StepSpec {
  const topology = withBackend('cpu', () => {
    const input = tfl.input({ shape: inputShape, dtype });
    const hidden = build(input);
    const flat = hidden.shape.length > 2 ? (tfl.layers.flatten().apply(hidden) as tfl.SymbolicTensor) : hidden;
    const head = tfl.layers.dense({ units: CLASSES, activation: 'softmax' }).apply(flat) as tfl.SymbolicTensor;
    return topologyOf(tfl.model({ inputs: input, outputs: head }));
  });
  const fields = { inputs: [inputField(inputShape, dtype)], targets: [labelField] };
  return { topology, loss: 'categoricalCrossentropy', seed: 9, ...fields };
}

const reference = createEagerEngine();
const engines: Readonly<Record<string, Engine>> = {
  blocked: await createOrtEngine({ threads: 1 }),
  plain: await createOrtEngine({ threads: 1, layout: 'plain' }),
};

describe('every layer has the gradients of eager tfjs', () => {
  it.each(LAYER_CASES.map((layerCase) => [layerCase.title, layerCase] as const))('%s', async (_, layerCase) => {
    const spec = specOf(layerCase);
    const weights = randomWeights(spec.topology, 4);
    for (const count of layerCase.counts ?? [1, 3, 16]) {
      const batch = randomBatch(spec, count, 40 + count, CLASSES);
      const expected = await gradientOf(reference, spec, weights, batch);
      for (const [layout, engine] of Object.entries(engines)) {
        const actual = await gradientOf(engine, spec, weights, batch);
        const { name, error } = worstDifference(expected.layout, expected.gradient, actual.gradient, layerCase.floor);
        expect(error, `${name}, ${layout}, ${count} samples`).toBeLessThan(layerCase.tolerance ?? 1e-4);
        expect(Math.abs(actual.loss - expected.loss)).toBeLessThan(1e-4 * Math.abs(expected.loss));
      }
    }
  });
});
