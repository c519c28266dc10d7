/**
 * Milliseconds of one optimizer update, JavaScript and WebAssembly kernels: `node packages/engine/bench/optimizer.bench.mjs`
 * after a build. Median and 90th percentile of 100 updates after 30 to warm up.
 */
import { arenaBytes, createArena, createLayout, optimizerSpecSchema } from '@coord/protocol';
import { createOptimizer } from '../dist/optimizer/index.js';

const SIZES = [93_322, 1_056_512];
const [WARM_UP, UPDATES] = [30, 100];

/** @returns sorted durations in milliseconds. */
function measure(optimizer, allocate, length) {
  const [weights, gradients] = [allocate(length).fill(0.1), allocate(length).fill(0.01)];
  const slots = new Map(optimizer.slotNames.map((name) => [name, allocate(length)]));
  const durationsMs = [];
  for (let step = 0; step < WARM_UP + UPDATES; step++) {
    const start = performance.now();
    optimizer.apply({ weights, gradients, slots, step, learningRate: 0.001 });
    durationsMs.push(performance.now() - start);
  }
  return durationsMs.slice(WARM_UP).sort((a, b) => a - b);
}

for (const size of SIZES) {
  const layout = createLayout([{ name: 'w', shape: [size], role: 'trainable' }]);
  const length = layout.totalSize;
  for (const name of ['sgd', 'momentum', 'rmsprop', 'adam']) {
    const arena = createArena(arenaBytes([length * 4, length * 4, length * 4, length * 4]));
    const optimizer = createOptimizer(optimizerSpecSchema.parse({ name }), layout, { memory: arena.memory });
    const plain = measure(optimizer, (elements) => new Float32Array(elements), length);
    const shared = measure(optimizer, (elements) => arena.float32(elements), length);
    const text = (sorted) => `${sorted[UPDATES / 2].toFixed(3)} (p90 ${sorted[UPDATES * 0.9].toFixed(3)}) ms`;
    process.stdout.write(`${name} over ${size} parameters: JavaScript ${text(plain)}, WebAssembly ${text(shared)}\n`);
  }
}
