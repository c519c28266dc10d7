/** Topologies: what a worker receives, and what a user's model.json holds. */
import assert from 'node:assert/strict';
import * as models from '@coord/models';
import * as tf from '@tensorflow/tfjs-core';
import { knownClasses, portable } from '../../../packages/models/src/file/portable.js';
import type { FuzzTarget } from '../fuzz.js';
import { type Chance, mutateBytes, mutateValue } from '../mutate.js';

const { createModel, modelFromTopology, parseTopology, topologyOf } = models;

const TOPOLOGIES = [createModel('mlp', { inputShape: [4], hidden: [3], classes: 2 }), createModel('text-cnn', {})].map(
  (model) => {
    const topology = topologyOf(model);
    model.dispose();
    return topology;
  },
);
const VALUES = [
  ...TOPOLOGIES.map((text) => JSON.parse(text) as object),
  // As Keras and tfjs wrap it.
  { modelTopology: { model_config: JSON.parse(TOPOLOGIES[0]) as object }, weightsManifest: [] },
];
const NAMING = { file: 'model.json', name: 'model', known: knownClasses() };

/** Building counts tensors' names up for as long as the process lives, in tfjs (about 1 KB a model), so it is done for some. */
const BUILT_OF = 64;

function read(topology: string): void {
  const text = portable(topology, NAMING);
  assert.equal(portable(text, NAMING), text, 'a name that was given is given otherwise the second time');
}

function build(topology: string): void {
  const model = modelFromTopology(portable(topology, NAMING), { initialise: false });
  const [again, shapes] = [topologyOf(model), model.weights.map(({ shape }) => shape)];
  model.dispose();
  // What one worker has built and passes on is built alike by the next.
  const copy = modelFromTopology(again, { initialise: false });
  assert.deepEqual(
    copy.weights.map(({ shape }) => shape),
    shapes,
  );
  copy.dispose();
}

function readTopology(chance: Chance): void {
  const text =
    chance.below(4) === 0
      ? mutateBytes(TOPOLOGIES.map(Buffer.from), chance).toString('utf8')
      : JSON.stringify(mutateValue(chance.pick(VALUES), chance));
  parseTopology(text ?? '');
  try {
    if (chance.below(BUILT_OF) === 0) build(text);
    else read(text);
  } finally {
    // A model that could not be built to its end leaves variables; its process ends with it.
    tf.disposeVariables();
  }
}

export const MODEL_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'topology',
    run: readTopology,
    control() {
      for (const text of [...TOPOLOGIES, ...VALUES.map((value) => JSON.stringify(value))]) {
        read(text);
        build(text);
      }
      assert.throws(() => parseTopology('['.repeat(100_000) + ']'.repeat(100_000)), { code: 'MODEL_INVALID' });
    },
  },
];
