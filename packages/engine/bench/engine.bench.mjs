// Time of one gradient (forward and backward, no optimizer), in turns with PyTorch where a Python has it.
//
//   npm run bench:engine -- [--models mlp,cnn,…] [--batch 32,64] [--threads 1,2] [--rounds 5] [--seconds 1] [--clock wall|cpu] [--json]
//
// The CPU clock counts what each process has computed, and not how long it waited for a busy machine; with one thread only.
// PyTorch runs twice: as it comes, and tuned (channels_last, memory that malloc keeps). COORD_BENCH_PYTHON names another Python.
import { parseArgs } from 'node:util';
import { startEngine, startTorch } from './peers.mjs';
import { WORKLOADS } from './workloads.mjs';

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: Object.keys(WORKLOADS).join() },
    batch: { type: 'string', default: '32,64' },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1' },
    clock: { type: 'string', default: 'wall' },
    json: { type: 'boolean', default: false },
  },
});

const clock = options.clock === 'cpu' ? 'cpuMsPerStep' : 'msPerStep';
const print = (line) => process.stdout.write(`${line}\n`);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const numbers = (text) => text.split(',').map(Number);

/** Starts all contenders, warms them up, and lets them run in turns. */
async function measure(model, batch, threads) {
  const settings = { model, batch, threads };
  const contenders = {
    engine: await startEngine('ort', settings),
    torchDefault: await startTorch(settings, false),
    torchTuned: await startTorch(settings, true),
    tfjsCpu: WORKLOADS[model].eager === 'each round' ? await startEngine('tfjs-cpu', settings) : undefined,
  };
  const running = Object.entries(contenders).filter(([, peer]) => peer);
  const times = Object.fromEntries(running.map(([name]) => [name, []]));
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const [name, peer] of running) times[name].push((await peer.run(Number(options.seconds)))[clock]);
  }
  const { flops, peakMiB } = await contenders.engine.run(0);
  if (WORKLOADS[model].eager === 'one step' && threads === 1) times.tfjsCpu = [await oneEagerStep(settings)];
  for (const [, peer] of running) peer.stop();
  const medians = Object.entries(times).map(([name, ms]) => [name, median(ms)]);
  return resultOf(settings, Object.fromEntries(medians), flops, peakMiB);
}

/** Alone, and without one before it to warm up. */
async function oneEagerStep(settings) {
  const peer = await startEngine('tfjs-cpu', { ...settings, warmUps: 0 });
  const measured = await peer.run(1e-3);
  peer.stop();
  return measured[clock];
}

function resultOf(settings, ms, flops, peakMiB) {
  const ratio = (peer) => (peer === undefined ? null : peer / ms.engine);
  return {
    ...settings,
    engineMs: ms.engine,
    torchDefaultMs: ms.torchDefault ?? null,
    torchTunedMs: ms.torchTuned ?? null,
    tfjsCpuMs: ms.tfjsCpu ?? null,
    ratioDefault: ratio(ms.torchDefault),
    ratioTuned: ratio(ms.torchTuned),
    samplesPerSecond: (1000 * settings.batch) / ms.engine,
    gflopPerSecond: flops / ms.engine / 1e6,
    peakMiB,
  };
}

const COLUMNS = [
  ['model', (r) => r.model.padEnd(24)],
  ['batch', (r) => r.batch],
  ['threads', (r) => r.threads],
  ['ms/step', (r) => r.engineMs.toFixed(2)],
  ['samples/s', (r) => r.samplesPerSecond.toFixed(0)],
  ['GFLOP/s', (r) => r.gflopPerSecond.toFixed(1)],
  ['peak MiB', (r) => r.peakMiB.toFixed(0)],
  ['torch ms', (r) => r.torchDefaultMs?.toFixed(2) ?? '–'],
  ['tuned ms', (r) => r.torchTunedMs?.toFixed(2) ?? '–'],
  ['×default', (r) => r.ratioDefault?.toFixed(2) ?? '–'],
  ['×tuned', (r) => r.ratioTuned?.toFixed(2) ?? '–'],
  ['tfjs-cpu ms', (r) => r.tfjsCpuMs?.toFixed(0) ?? '–'],
];

const row = (cells) => cells.map((cell, index) => String(cell).padStart(index === 0 ? 24 : 11)).join(' ');

print(row(COLUMNS.map(([title]) => title)));
const results = [];
for (const model of options.models.split(',')) {
  for (const batch of numbers(options.batch)) {
    for (const threads of numbers(options.threads)) {
      const result = await measure(model, batch, threads);
      results.push(result);
      print(row(COLUMNS.map(([, cell]) => cell(result))));
    }
  }
}
if (options.json) print(JSON.stringify({ results }));
