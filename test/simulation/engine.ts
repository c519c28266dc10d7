/** An engine by contract: gradients are a function of weights, samples, step and grain, and computing takes virtual time. */
import type { CompiledStep, Engine } from '@coord/engine';
import { type Batch, createLayout, type MetricSums } from '@coord/protocol';

const IDENTITY = { engine: 'simulated', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 };
const LAYOUT = createLayout([
  { name: 'dense/kernel', shape: [20, 30], role: 'trainable' },
  { name: 'dense/bias', shape: [30], role: 'trainable' },
]);

/** Wide enough a range that sums must be exact, and that quanta change from step to step. */
function value(weight: number, sample: number, step: number, grain: number, index: number): number {
  const mixed = (Math.imul(sample + 1, 0x9e3779b1) ^ Math.imul(index + 7, 0x85ebca6b) ^ (step * 131 + grain)) >>> 0;
  return weight * 0.125 + (mixed / 2 ** 32 - 0.5) * 2 ** (mixed % 5);
}

const step: CompiledStep = {
  layout: LAYOUT,
  async gradient(weights, batch, key, out, { stages } = {}): Promise<MetricSums> {
    out.fill(0);
    for (const { offset, size } of LAYOUT.parameters) {
      for (let index = offset; index < offset + size; index++) {
        for (const sample of batch.inputs[0]) out[index] += value(weights[index], sample, key.step, key.grain, index);
      }
    }
    stages?.buckets.forEach((_, bucket) => {
      stages.onComplete(bucket);
    });
    return metricsOf(batch);
  },
  evaluate: async (_weights, batch) => metricsOf(batch),
  predict: async () => [],
  dispose() {},
};

const metricsOf = ({ count }: Batch): MetricSums => ({ loss: count / 2, correct: count, samples: count });

export const simulatedEngine: Engine = {
  name: 'simulated',
  identity: IDENTITY,
  compile: async () => step,
  dispose() {},
};

export const simulatedLayout = LAYOUT;
