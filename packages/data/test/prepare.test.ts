import { createHash } from 'node:crypto';
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { datasetManifestSchema, LIMITS } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultBlockBytes } from '../src/blocks.js';
import { DATA_SOURCES, dataConfigSchema } from '../src/config.js';
import { blocksOf, prepare, readSamples } from './datasets.js';
import { coordErrorOf, directoryWith } from './files.js';

const SYNTHETIC = { source: 'synthetic', samples: 10, shape: [3], classes: 2 };

describe('prepareDataset', () => {
  it('gives a manifest of its schema, and blocks whose hashes are their names', async () => {
    const dataset = await prepare(SYNTHETIC, '.', 20);
    expect(datasetManifestSchema.parse(dataset.manifest)).toEqual(dataset.manifest);
    for (const { sha256 } of dataset.manifest.train.blocks) {
      const bytes = await blocksOf(dataset).get(sha256);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
    }
  });

  it('gives the same samples for any size of block', async () => {
    const reference = await readSamples(await prepare(SYNTHETIC), [...Array(10).keys()]);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 100 }), async (blockBytes) => {
        const dataset = await prepare(SYNTHETIC, '.', blockBytes);
        expect(await readSamples(dataset, [...Array(10).keys()])).toEqual(reference);
      }),
      { numRuns: 30 },
    );
  });

  it('holds one sample in a block that is smaller than a sample', async () => {
    const { manifest } = await prepare(SYNTHETIC, '.', 1);
    expect(manifest.train).toMatchObject({ samples: 10, samplesPerBlock: 1 });
    expect(manifest.train.blocks.length).toBe(10);
  });

  it('knows no block that is not in the manifest', async () => {
    expect((await prepare(SYNTHETIC)).readBlock('0'.repeat(64))).toBeUndefined();
  });

  it('refuses a sample that no message could carry', async () => {
    const error = await coordErrorOf(prepare({ ...SYNTHETIC, shape: [LIMITS.blockBytes] }));
    expect(error.code).toBe('DATASET_INVALID');
    expect(error.message).toMatch(/one sample of synthetic takes 4194308 bytes; .* limited to 4194304/);
  });

  it('notices a file that changes or shrinks after it was hashed', async () => {
    const directory = await directoryWith({ text: 'abcdefghi' });
    const dataset = await prepare({ source: 'text', file: 'text', sequenceLength: 4 }, directory);
    const [{ sha256 }] = dataset.manifest.train.blocks;
    await appendFile(join(directory, 'text'), 'more');
    expect(await dataset.readBlock(sha256)).toHaveLength(16);
    await writeFile(join(directory, 'text'), 'abcdeXghi');
    expect((await coordErrorOf(blocksOf(dataset).get(sha256))).code).toBe('BLOCK_CORRUPT');
    await writeFile(join(directory, 'text'), 'abc');
    expect((await coordErrorOf(blocksOf(dataset).get(sha256))).message).toMatch(/the file ends here; it has shrunk/);
  });

  it('makes blocks of 256 KiB, larger ones for large datasets, and none that a message cannot carry', () => {
    expect(defaultBlockBytes(47e6)).toBe(256 * 1024);
    expect(defaultBlockBytes(16 * 2 ** 30)).toBe(2 ** 20);
    expect(defaultBlockBytes(2 ** 40)).toBe(LIMITS.blockBytes);
  });
});

describe('dataConfigSchema', () => {
  it('knows the sources that DATA_SOURCES lists, and no other', () => {
    const message = dataConfigSchema.safeParse({ source: 'imagenet' }).error?.issues[0];
    expect(message?.path).toEqual(['source']);
    expect(dataConfigSchema.options.map((option) => option.shape.source.value)).toEqual([...DATA_SOURCES]);
  });

  it.each([
    [{ source: 'mnist', limits: {} }, /limits/],
    [{ source: 'mnist', limit: { train: 0 } }, />=1/],
    [{ source: 'text', file: 'a', test: 'b', testFraction: 0.1, sequenceLength: 3 }, /either test or testFraction/],
    [{ source: 'csv', train: 'a', target: 'b', task: 'guess' }, /classification/],
  ])('refuses %j', (config, message) => {
    expect(dataConfigSchema.safeParse(config).error?.message).toMatch(message);
  });
});
