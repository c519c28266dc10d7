// One engine and workload; see peers.mjs.
import { createInterface } from 'node:readline';
import { createEngine, initialWeights } from '@coord/engine';
import { createModel, topologyOf } from '@coord/models';
import { flopsOf } from './flops.mjs';
import { batchOf, WORKLOADS } from './workloads.mjs';

const [engineName, workloadName, batch, threads, warmUps] = process.argv.slice(2);
const workload = WORKLOADS[workloadName];
const topology = topologyOf(createModel(workload.model, workload.options));
const spec = {
  topology,
  loss: 'categoricalCrossentropy',
  inputs: [workload.input],
  targets: [workload.target],
  seed: 1,
};
const { weights } = initialWeights(topology, 1);
// Weights and gradient lie in shared memory, as in training.
const shared = (length) => new Float32Array(new SharedArrayBuffer(4 * length));
const sharedWeights = shared(weights.length);
sharedWeights.set(weights);
const engine = await createEngine({ name: engineName, threads: Number(threads) });
const step = await engine.compile(spec);
const samples = batchOf(workload, Number(batch));
const out = shared(step.layout.totalSize);

let steps = 0;
// Named weights are read once, as for the grains of one step.
const once = () => step.gradient(sharedWeights, samples, { step: steps++, grain: 0 }, out, { weightsId: 'initial' });
for (let warmUp = 0; warmUp < Number(warmUps); warmUp++) await once();
process.stdout.write('ready\n');

for await (const line of createInterface(process.stdin)) {
  const limitMs = 1000 * Number(line.split(' ')[1]);
  const [start, cpuStart] = [performance.now(), process.cpuUsage()];
  let count = 0;
  while (limitMs > 0 && (count === 0 || performance.now() - start < limitMs)) {
    await once();
    count++;
  }
  const msPerStep = (performance.now() - start) / count;
  const { user, system } = process.cpuUsage(cpuStart);
  const cpuMsPerStep = (user + system) / 1000 / count;
  const peakMiB = process.resourceUsage().maxRSS / 1024;
  process.stdout.write(
    `${JSON.stringify({ msPerStep, cpuMsPerStep, peakMiB, flops: limitMs > 0 ? 0 : flopsOf(spec, Number(batch)) })}\n`,
  );
}
process.exit(0);
