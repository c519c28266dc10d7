/** Evaluation in one process, in a plain loop: the test split in order, batch by batch. */
import { createBatchReader, type PreparedDataset } from '@coord/data';
import type { CompiledStep } from '@coord/engine';
import {
  addMetrics,
  CoordError,
  type MetricValues,
  metricValues,
  metricWords,
  type RunSpec,
  readMetrics,
  type TrainingState,
  tallyParts,
} from '@coord/protocol';

/** @throws CoordError DATASET_INVALID when the dataset has no test split. */
export async function evaluate(
  step: CompiledStep,
  state: TrainingState,
  dataset: PreparedDataset,
  { evaluation: { batchSize }, metrics }: RunSpec,
): Promise<MetricValues> {
  const { test, name } = dataset.manifest;
  if (!test) {
    throw new CoordError('DATASET_INVALID', `${name} has no test split to evaluate on`, {
      hint: 'Give the data a test split (data.test, data.testSamples, data.testFraction, by source).',
      facts: { dataset: name },
    });
  }
  const reader = createBatchReader(dataset.manifest, 'test', { get: (sha256) => blockOf(dataset, sha256) });
  // Added like on the workers, so that both come to the same bits.
  const parts = tallyParts(metrics, 'evaluation');
  const words = new Int32Array(metricWords(parts));
  for (let first = 0; first < test.samples; first += batchSize) {
    const count = Math.min(batchSize, test.samples - first);
    const batch = await reader.read(Array.from({ length: count }, (_, index) => first + index));
    addMetrics(await step.evaluate(state.weights, batch), words, parts);
  }
  return metricValues(metrics, readMetrics(words, parts), 'evaluation');
}

async function blockOf(dataset: PreparedDataset, sha256: string): Promise<Uint8Array> {
  const block = await dataset.readBlock(sha256);
  if (block) return block;
  throw new CoordError('BLOCK_UNAVAILABLE', `${dataset.manifest.name} has no block ${sha256}`, { facts: { sha256 } });
}
