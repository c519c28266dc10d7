import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { expect, it } from 'vitest';
import { KERNEL_RULES } from '../src/lower/lower.js';
import { layersWithin } from '../src/step/layer-tree.js';
import { withBackend } from '../src/tensors.js';
import { SHAPE_RULES } from '../src/trace/shape-rules.js';
import { LAYER_CASES } from './layer-cases/all.js';

/** What no case of the sweep has a layer of, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  Model: 'the base class of Functional and Sequential',
  Functional: 'holds the case itself',
  Sequential: 'model-shapes.test.ts',
  Resizing: 'its output shape in tfjs 4.22 has no batch axis, so no layer can follow it',
  RandomWidth: 'refused by name: errors.test.ts',
};

const registeredLayers = (): string[] =>
  Object.values(tf.serialization.SerializationMap.getMap().classNameMap)
    .map(([layerClass]) => layerClass)
    .filter((layerClass) => layerClass.prototype instanceof tfl.layers.Layer)
    .map((layerClass) => layerClass.className);

function classesIn(build: (typeof LAYER_CASES)[number]): string[] {
  return withBackend('cpu', () => {
    const input = tfl.input({ shape: build.inputShape, dtype: build.dtype });
    const model = tfl.model({ inputs: input, outputs: build.build(input) });
    return layersWithin(model).map((layer) => layer.getClassName());
  });
}

it('every layer class of tf.layers, and of ours, is in the sweep or has a reason not to be', () => {
  const seen = new Set(LAYER_CASES.flatMap(classesIn));
  const missing = registeredLayers().filter((name) => !seen.has(name) && !(name in EXCEPTIONS));
  expect(missing).toEqual([]);
  expect(Object.keys(EXCEPTIONS).filter((name) => seen.has(name) || !registeredLayers().includes(name))).toEqual([]);
});

it('every kernel that can be recorded can be lowered', () => {
  // A pass takes it apart before.
  const expanded = new Set(['FusedBatchNorm']);
  const missing = Object.keys(SHAPE_RULES).filter((kernel) => !(kernel in KERNEL_RULES) && !expanded.has(kernel));
  expect(missing).toEqual([]);
});
