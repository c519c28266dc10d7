import { createModel, topologyOf } from '@coord/models';
import { describe, expect, it } from 'vitest';
import type { StepSpec } from '../src/engine.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { gradientOf, inputField, labelField, randomBatch, randomWeights, worstDifference } from './support.js';

const TOKENS = { vocabulary: 13, length: 6, width: 8, heads: 2, blocks: 2 };

const specOf = (name: string, options: object, inputs: StepSpec['inputs'], targets = [labelField]): StepSpec => ({
  topology: topologyOf(createModel(name, options)),
  loss: 'categoricalCrossentropy',
  inputs,
  targets,
  seed: 2,
});

const tokens = (length: number) => [inputField([length], 'int32')];

const TOLERANCE = 1e-4;
/** Fifty-three normalisations over few narrow channels amplify rounding, in whatever order sums are taken. */
const DEEP_TOLERANCE = 3e-3;

const CASES: readonly (readonly [string, StepSpec, number])[] = [
  [
    'resnet-18',
    specOf('resnet', { inputShape: [12, 12, 3], width: 4, classes: 4 }, [inputField([12, 12, 3])]),
    TOLERANCE,
  ],
  [
    'resnet-18 in whole blocks',
    specOf('resnet', { inputShape: [14, 14, 3], width: 16, classes: 4 }, [inputField([14, 14, 3])]),
    TOLERANCE,
  ],
  [
    'resnet-50',
    specOf('resnet', { inputShape: [16, 16, 3], depth: 50, width: 2, classes: 4 }, [inputField([16, 16, 3])]),
    DEEP_TOLERANCE,
  ],
  [
    'text-cnn',
    specOf('text-cnn', { vocabulary: 13, length: 9, width: 6, filters: 5, classes: 4 }, tokens(9)),
    TOLERANCE,
  ],
  ['transformer-classifier', specOf('transformer-classifier', { ...TOKENS, classes: 4 }, tokens(6)), TOLERANCE],
  ['gpt', specOf('gpt', TOKENS, tokens(6), [{ ...labelField, shape: [6] }]), TOLERANCE],
  ['gpt, tied', specOf('gpt', { ...TOKENS, tied: true }, tokens(6), [{ ...labelField, shape: [6] }]), TOLERANCE],
  [
    'resnet-34',
    specOf('resnet', { inputShape: [16, 16, 3], depth: 34, width: 2, classes: 4 }, [inputField([16, 16, 3])]),
    DEEP_TOLERANCE,
  ],
];

const ENGINES = {
  'blocked layout': await createOrtEngine({ threads: 1 }),
  'plain layout': await createOrtEngine({ threads: 1, layout: 'plain' }),
  'kernels of ours wherever they can be': await createOrtEngine({ threads: 1, kernelsFrom: 0 }),
};

describe.each(Object.entries(ENGINES))('models of the library, %s', (_name, engine) => {
  it.each(CASES)('%s has the gradients of eager tfjs', async (_, spec, tolerance) => {
    const weights = randomWeights(spec.topology, 3);
    const batch = randomBatch(spec, 3, 5, 4);
    const expected = await gradientOf(createEagerEngine(), spec, weights, batch);
    const actual = await gradientOf(engine, spec, weights, batch);
    const { name, error } = worstDifference(expected.layout, expected.gradient, actual.gradient);
    expect(error, name).toBeLessThan(tolerance);
    expect(actual.loss).toBeCloseTo(expected.loss, 3);
    expect(actual.correct).toBeCloseTo(expected.correct, 5);
  });
});
