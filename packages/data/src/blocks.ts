/** How samples lie in blocks; see the manifest (protocol/dataset.ts) for the layout. */
import { createHash } from 'node:crypto';
import { CoordError, type Field, LIMITS, type Split, STORAGE_BYTES } from '@coord/protocol';
import { elementsOf } from './sources/source.js';

/** Small enough that a worker's first batches, scattered over the whole split, need few bytes. */
const MIN_BLOCK_BYTES = 256 * 1024;
/** Enough blocks for any order to be fetched piecemeal, few enough for the manifest to stay a small message. */
const MAX_BLOCKS = 16384;

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Bytes of one sample of one field, as stored. */
const fieldBytes = (field: Field): number => elementsOf(field.shape) * STORAGE_BYTES[field.storage];

/** Bytes of one sample, as stored. */
export const sampleBytes = (fields: readonly Field[]): number =>
  fields.reduce((sum, field) => sum + fieldBytes(field), 0);

/** Default size: at least 256 KiB, more where there would be more than 16,384 blocks, never more than a message may carry. */
export const defaultBlockBytes = (splitBytes: number): number =>
  Math.min(LIMITS.blockBytes, Math.max(MIN_BLOCK_BYTES, Math.ceil(splitBytes / MAX_BLOCKS)));

/** Byte offset of each field's first value in a block of `samples`. */
export function fieldOffsets(fields: readonly Field[], samples: number): number[] {
  let offset = 0;
  return fields.map((field) => {
    const at = offset;
    offset += samples * fieldBytes(field);
    return at;
  });
}

/** @throws CoordError DATASET_INVALID when the split's counts and sizes contradict each other. */
export function checkSplit(name: string, split: Split, fields: readonly Field[]): void {
  const bytes = sampleBytes(fields);
  const fail = (problem: string) => {
    throw new CoordError('DATASET_INVALID', `the manifest's ${name} split is wrong: ${problem}`, {
      facts: { split: name },
    });
  };
  const blocks = Math.ceil(split.samples / split.samplesPerBlock);
  if (split.blocks.length !== blocks) {
    fail(
      `expected ${blocks} blocks for ${split.samples} samples of ${split.samplesPerBlock} a block, found ${split.blocks.length}`,
    );
  }
  split.blocks.forEach((block, index) => {
    const samples = Math.min(split.samplesPerBlock, split.samples - index * split.samplesPerBlock);
    if (block.samples !== samples) fail(`expected ${samples} samples in block ${index}, found ${block.samples}`);
    if (block.bytes !== samples * bytes)
      fail(`expected ${samples * bytes} bytes in block ${index}, found ${block.bytes}`);
  });
}
