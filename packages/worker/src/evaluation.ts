/** Evaluation on the test split: batches are spread over the hosts like grains, and metrics are summed as exactly. */
import type { BatchReader } from '@coord/data';
import {
  addMetrics,
  assignByShare,
  type MetricSums,
  metricWords,
  type RunSpec,
  readMetrics,
  tallyParts,
} from '@coord/protocol';
import type { Ring } from '@coord/ring';
import type { Compute } from './compute/compute-pool.js';

export interface EvaluationContext {
  readonly run: RunSpec;
  readonly ring: Ring;
  readonly rank: number;
  readonly shares: readonly number[];
  readonly signal: AbortSignal;
}

interface Range {
  readonly first: number;
  readonly count: number;
}

export function evaluationBatches(samples: number, batchSize: number): Range[] {
  return Array.from({ length: Math.ceil(samples / batchSize) }, (_, index) => {
    const first = index * batchSize;
    return { first, count: Math.min(batchSize, samples - first) };
  });
}

/** @returns sums over the whole test split, equal on every host. */
export async function evaluate(context: EvaluationContext, compute: Compute, reader: BatchReader): Promise<MetricSums> {
  const { run, ring, rank, shares, signal } = context;
  const batches = evaluationBatches(run.data.test?.samples ?? 0, run.evaluation.batchSize);
  const parts = tallyParts(run.metrics, 'evaluation');
  const words = new Int32Array(metricWords(parts));
  const queue = assignByShare(batches, shares, 0)[rank];
  const work = async (thread: number) => {
    for (let range = queue.shift(); range && !signal.aborted; range = queue.shift()) {
      const first = range.first;
      const batch = await reader.read(Array.from({ length: range.count }, (_, i) => first + i));
      addMetrics(await compute.evaluate(thread, batch), words, parts);
    }
  };
  await Promise.all(Array.from({ length: compute.size }, (_, thread) => work(thread)));
  signal.throwIfAborted();
  await ring.allReduceSum(words);
  return readMetrics(words, parts);
}
