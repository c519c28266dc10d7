import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../src/create-engine.js';
import { randomBatch, randomWeights, stepOf } from './support.js';

describe.each(['ort', 'tfjs-cpu'] as const)('the %s engine', async (name) => {
  const spec = stepOf('mlp', { inputShape: [4], hidden: [8], classes: 4 });
  const engine = await createEngine({ name, threads: 1 });
  const weights = randomWeights(spec.topology, 1);
  const batch = randomBatch(spec, 4, 1);

  it('holds no more tensors after many grains than after one', async () => {
    const step = await engine.compile(spec);
    const out = new Float32Array(step.layout.totalSize);
    const grain = (index: number) => step.gradient(weights, batch, { step: index, grain: 0 }, out);
    await grain(0);
    await step.evaluate(weights, batch);
    const before = tf.memory().numTensors;
    for (let index = 1; index < 200; index++) await grain(index);
    await step.evaluate(weights, batch);
    await step.predict(weights, batch.inputs, batch.count);
    expect(tf.memory().numTensors).toBe(before);
    step.dispose();
  });

  it('leaves no tensors behind when a step is disposed', async () => {
    const before = tf.memory().numTensors;
    const step = await engine.compile(spec);
    await step.gradient(weights, batch, { step: 0, grain: 0 }, new Float32Array(step.layout.totalSize));
    step.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

it('the soak, in a short form, sees neither memory nor tensors grow', async () => {
  const soak = fileURLToPath(new URL('../bench/soak.mjs', import.meta.url));
  // Ends with an error where something has grown.
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', soak, '--steps', '100']);
  expect(stdout.match(/^.*: 100 steps, .* MiB and 0 tensors more/gm)).toHaveLength(4);
});
