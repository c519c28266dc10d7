import type { Batch, DatasetManifest } from '@coord/protocol';
import { createBatchReader } from '../src/batch-reader.js';
import type { DataConfig } from '../src/config.js';
import { dataConfigSchema } from '../src/config.js';
import { type PreparedDataset, prepareDataset } from '../src/prepare.js';

/** A configuration as a user writes it, with the defaults filled in. */
const configOf = (value: object): DataConfig => dataConfigSchema.parse(value);

export const prepare = (config: object, directory = '.', blockBytes?: number): Promise<PreparedDataset> =>
  prepareDataset(configOf(config), { directory, blockBytes });

export const blocksOf = (dataset: PreparedDataset) => ({
  async get(sha256: string): Promise<Uint8Array> {
    const bytes = await dataset.readBlock(sha256);
    if (!bytes) throw new Error(`no block ${sha256}`);
    return bytes;
  },
});

/** Samples of a split, through blocks and back. */
export const readSamples = (
  dataset: PreparedDataset,
  samples: readonly number[],
  split: keyof DatasetManifest & ('train' | 'test') = 'train',
): Promise<Batch> => createBatchReader(dataset.manifest, split, blocksOf(dataset)).read(samples);
