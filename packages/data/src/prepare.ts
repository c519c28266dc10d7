/** From a configuration to a manifest and its blocks. Blocks are made twice: once to be hashed, again when somebody asks. */
import { type BlockInfo, CoordError, type DatasetManifest, type Field, LIMITS, type Split } from '@coord/protocol';
import { defaultBlockBytes, sampleBytes, sha256Of } from './blocks.js';
import type { DataConfig } from './config.js';
import { countLabels } from './count-labels.js';
import { openCsv } from './sources/csv.js';
import { openIdxSource } from './sources/idx.js';
import { openMnist } from './sources/mnist.js';
import type { Source, SplitSource } from './sources/source.js';
import { openSynthetic } from './sources/synthetic.js';
import { openText } from './sources/text.js';

export interface PrepareOptions {
  /** What relative paths in the configuration are relative to. */
  readonly directory: string;
  /** Largest size of a block; at most LIMITS.blockBytes. */
  readonly blockBytes?: number;
}

export interface PreparedDataset {
  readonly manifest: DatasetManifest;
  /** What the classes are called, in the order of the model's outputs, where the source knows. */
  readonly classNames?: readonly string[];
  /**
   * The block's bytes, read anew from the source; undefined when the manifest has no such block.
   * @throws CoordError BLOCK_CORRUPT (rejects) when the source no longer gives the bytes that were hashed.
   */
  readBlock(sha256: string): Promise<Uint8Array> | undefined;
  /**
   * How many samples of the training split have each label (places, where a sample has several), read anew from the source.
   * @throws CoordError DATASET_INVALID (rejects) when a label is not below `classes`.
   */
  countLabels(field: string, classes: number): Promise<number[]>;
}

type ReadBlock = () => Promise<Uint8Array>;

/** @throws CoordError DATASET_INVALID naming the file and the byte offset, or the line and column. */
export async function prepareDataset(config: DataConfig, options: PrepareOptions): Promise<PreparedDataset> {
  const source = await openSource(config, options.directory);
  const readers = new Map<string, ReadBlock>();
  const limits = 'limit' in config ? config.limit : undefined;
  const cut = (split: SplitSource, limit: number | undefined) =>
    cutBlocks(source, split, Math.min(split.samples, limit ?? split.samples), options.blockBytes, readers);
  const train = await cut(source.train, limits?.train);
  const test = source.test && (await cut(source.test, limits?.test));
  const fields = [...source.fields];
  return {
    manifest: { name: source.name, fields, classes: source.classes, train, test },
    classNames: source.classNames,
    readBlock: (sha256) => readVerified(source.name, sha256, readers.get(sha256)),
    countLabels: (field, classes) => countLabels(source, field, train.samples, classes),
  };
}

async function openSource(config: DataConfig, directory: string): Promise<Source> {
  switch (config.source) {
    case 'mnist':
      return openMnist();
    case 'idx':
      return openIdxSource(config, directory);
    case 'csv':
      return openCsv(config, directory);
    case 'text':
      return openText(config, directory);
    case 'synthetic':
      return openSynthetic(config);
    default:
      return config satisfies never;
  }
}

async function cutBlocks(
  { name, fields }: Source,
  split: SplitSource,
  samples: number,
  blockBytes: number | undefined,
  readers: Map<string, ReadBlock>,
): Promise<Split> {
  const perSample = sampleBytes(fields);
  checkSampleBytes(name, perSample);
  const limitBytes = Math.min(LIMITS.blockBytes, blockBytes ?? defaultBlockBytes(samples * perSample));
  const samplesPerBlock = Math.min(samples, Math.max(1, Math.floor(limitBytes / perSample)));
  checkBlockCount(name, Math.ceil(samples / samplesPerBlock));
  const blocks: BlockInfo[] = [];
  for (let first = 0; first < samples; first += samplesPerBlock) {
    const count = Math.min(samplesPerBlock, samples - first);
    const read = () => encodeBlock(fields, split, first, count);
    const bytes = await read();
    const sha256 = sha256Of(bytes);
    readers.set(sha256, read);
    blocks.push({ sha256, samples: count, bytes: bytes.byteLength });
  }
  return { samples, samplesPerBlock, blocks };
}

async function encodeBlock(
  fields: readonly Field[],
  split: SplitSource,
  first: number,
  count: number,
): Promise<Uint8Array> {
  const parts = await Promise.all(fields.map((_, field) => split.readField(field, first, count)));
  return Buffer.concat(parts);
}

function checkSampleBytes(name: string, perSample: number): void {
  if (perSample <= LIMITS.blockBytes) return;
  const message = `one sample of ${name} takes ${perSample} bytes; a block, and so a sample, is limited to ${LIMITS.blockBytes}`;
  throw new CoordError('DATASET_INVALID', message, {
    hint: 'Use smaller samples.',
    facts: { sizeBytes: perSample, limitBytes: LIMITS.blockBytes },
  });
}

function checkBlockCount(name: string, blocks: number): void {
  if (blocks <= LIMITS.blocks) return;
  throw new CoordError('DATASET_INVALID', `${name} makes ${blocks} blocks; ${LIMITS.blocks} is the limit`, {
    hint: 'Use larger blocks or fewer samples.',
    facts: { blocks, limit: LIMITS.blocks },
  });
}

function readVerified(name: string, sha256: string, read: ReadBlock | undefined): Promise<Uint8Array> | undefined {
  return read?.().then((bytes) => {
    if (sha256Of(bytes) === sha256) return bytes;
    throw new CoordError(
      'BLOCK_CORRUPT',
      `the files of ${name} have changed since the run began: block ${sha256} is different`,
      {
        hint: 'Put the old files back, or start a new run.',
        facts: { dataset: name, sha256 },
      },
    );
  });
}
