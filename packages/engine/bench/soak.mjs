// Ten thousand gradients a model: neither memory nor tfjs's tensors may grow. Usage: npm run soak:engine [-- --steps N]
import { parseArgs } from 'node:util';
import { createModel, topologyOf } from '@coord/models';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { createEngine, initialWeights } from '../dist/index.js';

const { values } = parseArgs({ options: { steps: { type: 'string', default: '10000' } } });
const STEPS = Number(values.steps);
/** Resident memory after a tenth of the steps may grow by this much to the end. */
const TOLERANCE_MIB = 24;
const COUNT = 8;

/** Positions of the decoder, large enough that kernels of ours run between ONNX Runtime's sessions. */
const LENGTH = 32;

const field = (shape, dtype, role) => ({ name: role, role, shape, storage: dtype, dtype, scale: 1, offset: 0 });

function recurrent() {
  const layer = tfl.layers.lstm({ name: 'l', units: 8, dropout: 0.2, recurrentDropout: 0.2, inputShape: [4, 6] });
  const head = tfl.layers.dense({ name: 'd', units: 4, activation: 'softmax' });
  return tfl.sequential({ layers: [layer, head] });
}

const MODELS = {
  mlp: createModel('mlp', { inputShape: [8], hidden: [16], classes: 4 }),
  cnn: createModel('cnn', { inputShape: [18, 18, 1], filters: [16, 16, 16], hiddenUnits: 8, classes: 4 }),
  'lstm with dropout': recurrent(),
  gpt: createModel('gpt', { vocabulary: 16, length: LENGTH, width: 128, heads: 2, blocks: 1 }),
};

const mebibytes = () => {
  globalThis.gc?.();
  return process.memoryUsage().rss / 2 ** 20;
};

async function soak(engine, model) {
  const topology = topologyOf(model);
  const shape = model.inputs[0].shape.slice(1);
  const { dtype } = model.inputs[0];
  const places = model.outputs[0].shape.slice(1, -1);
  const fields = { inputs: [field(shape, dtype, 'input')], targets: [field(places, 'int32', 'target')] };
  const step = await engine.compile({ topology, loss: 'categoricalCrossentropy', seed: 1, ...fields });
  const { weights } = initialWeights(topology, 1);
  const out = new Float32Array(weights.length);
  const elements = (extents) => extents.reduce((product, extent) => product * extent, COUNT);
  const inputs = [dtype === 'int32' ? new Int32Array(elements(shape)) : new Float32Array(elements(shape)).fill(0.5)];
  const batch = { count: COUNT, inputs, targets: [new Int32Array(elements(places))] };
  let early;
  for (let at = 0; at <= STEPS; at++) {
    if (at === Math.floor(STEPS / 10)) early = { memory: mebibytes(), tensors: tf.memory().numTensors };
    await step.gradient(weights, batch, { step: at, grain: at % 4 }, out);
  }
  const late = { memory: mebibytes(), tensors: tf.memory().numTensors };
  step.dispose();
  return { grownMiB: late.memory - early.memory, grownTensors: late.tensors - early.tensors };
}

const engine = await createEngine({ name: 'ort', threads: 1 });
for (const [name, model] of Object.entries(MODELS)) {
  const { grownMiB, grownTensors } = await soak(engine, model);
  const good = grownTensors === 0 && grownMiB < TOLERANCE_MIB;
  process.stdout.write(
    `${name}: ${STEPS} steps, ${grownMiB.toFixed(1)} MiB and ${grownTensors} tensors more than after a tenth\n`,
  );
  if (!good) process.exitCode = 1;
}
