// Where one gradient spends its time, by ONNX Runtime's own profile and a clock around our own kernels, after a build:
//
//   node packages/engine/bench/profile.mjs gpt --batch 32 [--threads 1] [--runs 20] [--top 25]
//
// Each line is an operation: its lower decile over the runs, which other work on the machine disturbs least. Operations of
// ONNX Runtime run as one session, and kernels by themselves, each on random numbers in the other's place.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { initialWeights } from '@coord/engine';
import { createModel, topologyOf } from '@coord/models';
import { viewOf } from '@coord/protocol';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { loadKernels } from '../dist/kernels/wasm.js';
import { lower } from '../dist/lower/lower.js';
import { END_OUTPUT } from '../dist/onnx/builder.js';
import { probeBlockSize } from '../dist/ort/block-size.js';
import { allocateBuffers } from '../dist/ort/buffers.js';
import { KERNELS_FROM } from '../dist/ort/ort-engine.js';
import { optimise } from '../dist/passes/optimise.js';
import { prepareStep } from '../dist/step/prepare.js';
import { inputName, targetName, traceGradient, weightName } from '../dist/step/trace-step.js';
import { batchOf, WORKLOADS } from './workloads.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    batch: { type: 'string', default: '32' },
    threads: { type: 'string', default: '1' },
    runs: { type: 'string', default: '20' },
    top: { type: 'string', default: '25' },
  },
});
const workload = WORKLOADS[positionals[0] ?? 'cnn'];
const count = Number(options.batch);

function compiled() {
  const topology = topologyOf(createModel(workload.model, workload.options));
  const fields = { inputs: [workload.input], targets: [workload.target] };
  const step = prepareStep({ topology, loss: 'categoricalCrossentropy', ...fields, seed: 1 });
  const { graph } = traceGradient(step, count);
  optimise(graph);
  const { weights } = initialWeights(topology, 1);
  const { inputs, targets } = batchOf(workload, count);
  const parameters = step.layout.parameters.map((one, at) => [weightName(at), Float32Array.from(viewOf(one, weights))]);
  return { graph, data: { [inputName(0)]: inputs[0], [targetName(0)]: targets[0], ...Object.fromEntries(parameters) } };
}

const { graph, data } = compiled();
const threads = Number(options.threads);
const runs = Number(options.runs);
const model = lower(graph, {
  blockSize: await probeBlockSize(),
  kernelsFrom: KERNELS_FROM,
  threads,
});

const sizeOf = (dims) => dims.reduce((product, extent) => product * extent, 1);
const random = (elements) => (elements instanceof Float32Array ? elements.map(() => Math.random() - 0.5) : elements);
const madeOf = ({ type, dims }) => random(new (type === 'int32' ? Int32Array : Float32Array)(sizeOf(dims)));
const bind = (metadata) =>
  Object.fromEntries(
    metadata
      .filter(({ isTensor }) => isTensor)
      .map(({ name, type, shape: dims }) => [name, new Tensor(type, data[name] ?? madeOf({ type, dims }), dims)]),
  );

const durations = new Map();
const add = (key, ms) => durations.set(key, [...(durations.get(key) ?? []), ms]);

/** Every run ends with the refusal of the first output; see src/ort/session.ts. */
function refuseOther(error) {
  if (!error.message.startsWith('Non tensor type')) throw error;
}

async function profileSession() {
  const folder = mkdtempSync(join(tmpdir(), 'coord-profile-'));
  const session = await InferenceSession.create(model.bytes, {
    intraOpNumThreads: threads,
    logSeverityLevel: 3,
    enableProfiling: true,
    profileFilePrefix: join(folder, 'profile'),
  });
  const [feeds, fetches] = [bind(session.inputMetadata), { [END_OUTPUT]: null, ...bind(session.outputMetadata) }];
  for (let run = 0; run < runs + 2; run++) await session.run(feeds, fetches).catch(refuseOther);
  session.endProfiling();
  const events = readdirSync(folder).flatMap((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')));
  rmSync(folder, { recursive: true });
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
    const shapes = `${shapesOf(args.input_type_shape)} → ${shapesOf(args.output_type_shape)}`;
    add(`${args.op_name} ${name.slice(0, -12)} ${shapes}`, dur / 1000);
  }
}

/** Every value lies where nothing else does, as in a gradient: one kernel's output is not in the cache for another one. */
function profileKernels() {
  const values = model.ownNodes.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
  const unique = [...new Map(values.map((value) => [value.name, { ...value, isOwn: true }])).values()];
  const { byName, memory } = allocateBuffers(unique, {});
  for (const elements of byName.values()) elements.set(random(elements));
  const kernels = loadKernels(memory);
  const shapes = (infos) => infos.map(({ dims }) => `[${dims}]`).join(' ');
  for (let run = 0; run < runs + 2; run++) {
    for (const { kernel, inputs, outputs, scalars } of model.ownNodes) {
      const addresses = [...inputs, ...outputs].map(({ name }) => byName.get(name).byteOffset);
      const start = performance.now();
      kernels[kernel](...addresses, ...scalars);
      add(`${kernel} ${outputs[0].name} ${shapes(inputs)} → ${shapes(outputs)}`, performance.now() - start);
    }
  }
}

const shapesOf = (list = []) => list.map((entry) => `[${Object.values(entry)[0]}]`).join(' ');
await profileSession();
if (model.ownNodes.length > 0) profileKernels();
const rows = [...durations].map(([key, ms]) => [ms.toSorted((a, b) => a - b)[Math.floor(ms.length / 10)], key]);
const kinds = new Map();
for (const [ms, key] of rows) kinds.set(key.split(' ')[0], (kinds.get(key.split(' ')[0]) ?? 0) + ms);

const print = (ms, text) => process.stdout.write(`${ms.toFixed(3).padStart(10)} ms  ${text}\n`);
const byTime = (list) => list.toSorted((a, b) => b[0] - a[0]);
print(
  rows.reduce((sum, [ms]) => sum + ms, 0),
  `all ${rows.length} operations`,
);
for (const [ms, kind] of byTime([...kinds].map(([kind, ms]) => [ms, kind]))) print(ms, kind);
for (const [ms, key] of byTime(rows).slice(0, Number(options.top))) print(ms, key);
