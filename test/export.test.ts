/** What `exportTfjs` writes is a model that tfjs itself loads, over HTTP as a web page would, and that predicts the same. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportTfjs, loadCheckpoint, saveCheckpoint } from '@coord/checkpoint';
import { createOptimizer, initialWeights } from '@coord/engine';
import { createModel, modelFromTopology, topologyOf } from '@coord/models';
import { hashWeights, optimizerSpecSchema, type TrainingState, viewOf } from '@coord/protocol';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { beforeAll, expect, it, onTestFinished } from 'vitest';

beforeAll(() => tf.setBackend('cpu'));

const INFO = { runId: 'export', epoch: 0, position: 64, seed: 1, configSha256: '0'.repeat(64) };

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'coord-export-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function serve(directory: string): Promise<string> {
  const names = new Set(await readdir(directory));
  const server = createServer(async ({ url }, response) => {
    const name = (url ?? '').slice(1);
    response.statusCode = names.has(name) ? 200 : 404;
    response.end(names.has(name) ? await readFile(join(directory, name)) : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.json`;
}

/** One optimizer update away from the initial weights, so that nothing is what tfjs would start from. */
function trainedState(topology: string): TrainingState {
  const { layout, weights } = initialWeights(topology, 7);
  const optimizer = createOptimizer(optimizerSpecSchema.parse({ name: 'adam' }), layout);
  const slots = new Map(optimizer.slotNames.map((name) => [name, new Float32Array(layout.totalSize)]));
  const gradients = new Float32Array(layout.totalSize);
  for (const parameter of layout.parameters) {
    viewOf(parameter, gradients).forEach((_, i, view) => {
      view[i] = ((i % 13) + 1) / 13;
    });
  }
  optimizer.apply({ weights, gradients, slots, step: 0, learningRate: 0.01 });
  return { step: 1, layout, weights, slots, exponents: new Uint8Array(layout.blockCount) };
}

function predict(model: tfl.LayersModel, shape: readonly number[]): Float32Array {
  return tf.tidy(() => {
    const size = shape.reduce((product, extent) => product * extent, 3);
    const input = tf.tensor(
      Float32Array.from({ length: size }, (_, i) => ((i * 31) % 97) / 97),
      [3, ...shape],
    );
    return (model.predict(input) as tf.Tensor).dataSync() as Float32Array;
  });
}

function originalModel(topology: string, state: TrainingState): tfl.LayersModel {
  const model = modelFromTopology(topology);
  const values = state.layout.parameters.map((parameter) =>
    tf.tensor(viewOf(parameter, state.weights).slice(), [...parameter.shape]),
  );
  model.setWeights(values);
  return model;
}

const normalised = () =>
  tfl.sequential({
    layers: [
      tfl.layers.dense({ units: 6, inputShape: [5], activation: 'relu' }),
      tfl.layers.batchNormalization(),
      tfl.layers.dense({ units: 2 }),
    ],
  });

it.each([
  ['the CNN', () => createModel('cnn'), [28, 28, 1]],
  ['a model with batch normalisation', normalised, [5]],
] as const)('%s goes through a checkpoint and an export and predicts the same in tfjs', async (_, create, shape) => {
  const directory = await scratch();
  const topology = topologyOf(create());
  const state = trainedState(topology);
  const { path, manifest } = await saveCheckpoint(directory, state, INFO, { keepLast: 1 });
  const loaded = (await loadCheckpoint(path)).state;
  const outDir = join(directory, 'tfjs');
  await exportTfjs(loaded, topology, outDir);
  const model = await tfl.loadLayersModel(await serve(outDir));
  expect(predict(model, shape)).toEqual(predict(originalModel(topology, state), shape));
  expect(hashWeights(loaded.layout, loaded.weights)).toBe(manifest.weightsSha256);
});
