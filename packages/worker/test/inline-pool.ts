/** A pool whose threads' work is done by the caller's thread, with the real buffers and kernels, and gradients of a test's choice. */
import type { CompiledStep, Engine } from '@coord/engine';
import type { Batch, Layout, MetricSums, RunSpec } from '@coord/protocol';
import type { ComputeThread } from '../src/compute/compute-client.js';
import type { ComputePool, GrainHandling, GrainOutcome } from '../src/compute/compute-pool.js';
import { createComputeWork } from '../src/compute/compute-work.js';
import { startPool } from '../src/compute/start-pool.js';

/** Writes a grain's gradient; what it leaves out is zero. */
export type GradientOf = (grain: number, out: Float32Array) => void;

const metrics: MetricSums = { loss: 0, correct: 0, samples: 1 };

function engineOf(layout: Layout, gradientOf: GradientOf): Engine {
  const step: CompiledStep = {
    layout,
    async gradient(_weights, _batch, { grain }, out, { stages } = {}) {
      out.fill(0);
      gradientOf(grain, out);
      stages?.buckets.forEach((_, bucket) => {
        stages.onComplete(bucket);
      });
      return metrics;
    },
    evaluate: async () => metrics,
    predict: async () => [],
    dispose() {},
  };
  return {
    name: 'given',
    identity: { engine: 'given', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 },
    compile: async () => step,
    dispose() {},
  };
}

export function startInlinePool(
  run: RunSpec,
  threads: number,
  layout: Layout,
  gradientOf: GradientOf,
): Promise<ComputePool> {
  return startPool(run, threads, undefined, (): ComputeThread => {
    const answer = createComputeWork(async () => engineOf(layout, gradientOf));
    return {
      call: async (request, _transfer, onProgress) =>
        (await answer(request, (progress) => onProgress?.(progress))) as never,
      async terminate() {},
    };
  });
}

const batch = (): Batch => ({ inputs: [new Float32Array(4)], targets: [], count: 1 });

export const addGrain = (
  pool: ComputePool,
  thread: number,
  at: { grain: number; grains: number },
  how?: GrainHandling,
): Promise<GrainOutcome> => pool.addGrain(thread, { step: 0, weightsSha256: '', ...at }, batch(), how);
