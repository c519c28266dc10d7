import type { DatasetManifest, Field } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBatchReader } from '../src/batch-reader.js';
import { sha256Of } from '../src/blocks.js';
import { blocksOf, prepare, readSamples } from './datasets.js';
import { coordErrorOf } from './files.js';

const field = (
  name: string,
  role: Field['role'],
  shape: number[],
  storage: Field['storage'],
  extra: Partial<Field> = {},
): Field => ({
  name,
  role,
  shape,
  storage,
  dtype: 'float32',
  scale: 1,
  offset: 0,
  ...extra,
});

/** Three bytes, then a float and an integer, so that words begin at odd offsets. */
const FIELDS = [
  field('bytes', 'input', [3], 'uint8', { scale: 0.5, offset: -1 }),
  field('float', 'input', [], 'float32', { scale: 2 }),
  field('integer', 'target', [], 'int32', { dtype: 'int32' }),
];

function blockOf(samples: readonly number[]): Buffer {
  const bytes = samples.map((sample) => [sample, sample + 1, sample + 2]);
  return Buffer.concat([
    Buffer.from(bytes.flat()),
    Buffer.from(Float32Array.from(samples, (sample) => sample / 4).buffer),
    Buffer.from(Int32Array.from(samples, (sample) => -sample * 1000).buffer),
  ]);
}

function dataset() {
  const contents = [blockOf([0, 1, 2]), blockOf([3, 4, 5]), blockOf([6])];
  const blocks = contents.map((bytes, index) => ({
    sha256: sha256Of(bytes),
    samples: index < 2 ? 3 : 1,
    bytes: bytes.length,
  }));
  const manifest: DatasetManifest = { name: 'made', fields: FIELDS, train: { samples: 7, samplesPerBlock: 3, blocks } };
  const store = new Map(contents.map((bytes) => [sha256Of(bytes), bytes]));
  return { manifest, store, get: async (sha256: string) => store.get(sha256)! };
}

describe('createBatchReader', () => {
  it('decodes any samples, in the order asked for, also at odd byte offsets', async () => {
    const { manifest, get } = dataset();
    const reader = createBatchReader(manifest, 'train', { get });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(6), { maxLength: 20 }), async (samples) => {
        const batch = await reader.read(samples);
        expect(batch.count).toBe(samples.length);
        expect(batch.inputs).toEqual([
          Float32Array.from(samples.flatMap((sample) => [sample, sample + 1, sample + 2].map((byte) => byte / 2 - 1))),
          Float32Array.from(samples, (sample) => sample / 2),
        ]);
        expect(batch.targets).toEqual([Int32Array.from(samples, (sample) => (sample === 0 ? 0 : -sample * 1000))]);
      }),
    );
  });

  it('asks for every block of a batch once', async () => {
    const { manifest, store } = dataset();
    const asked: string[] = [];
    const get = async (sha256: string) => {
      asked.push(sha256);
      return store.get(sha256)!;
    };
    await createBatchReader(manifest, 'train', { get }).read([0, 6, 1, 2, 0]);
    expect(asked).toEqual([manifest.train.blocks[0].sha256, manifest.train.blocks[2].sha256]);
  });

  it('gives equal bits for equal samples, whatever batch they are in', async () => {
    const synthetic = await prepare({ source: 'synthetic', samples: 50, shape: [7], classes: 3 }, '.', 64);
    const all = await readSamples(synthetic, [...Array(50).keys()]);
    for (const sample of [0, 17, 49]) {
      const { inputs } = await readSamples(synthetic, [sample]);
      expect(inputs[0]).toEqual(all.inputs[0].slice(sample * 7, sample * 7 + 7));
    }
  });

  it.each([7, -1, 0.5])('refuses sample %d of 7', async (sample) => {
    const { manifest, get } = dataset();
    await expect(createBatchReader(manifest, 'train', { get }).read([sample])).rejects.toThrow(RangeError);
  });

  it('refuses a split that the dataset does not have', async () => {
    const synthetic = await prepare({ source: 'synthetic', samples: 5, shape: [2], classes: 2 });
    expect(() => createBatchReader(synthetic.manifest, 'test', blocksOf(synthetic))).toThrow(
      /synthetic has no test split/,
    );
  });

  it('refuses a block of another size than the manifest says', async () => {
    const { manifest } = dataset();
    const reader = createBatchReader(manifest, 'train', { get: async () => Buffer.alloc(5) });
    const error = await coordErrorOf(reader.read([0]));
    expect(error.code).toBe('BLOCK_CORRUPT');
    expect(error.message).toMatch(/has 5 bytes; the manifest says 33/);
  });

  const wrong: [what: string, change: (manifest: DatasetManifest) => void, message: RegExp][] = [
    ['too few blocks', ({ train }) => train.blocks.pop(), /expected 3 blocks for 7 samples of 3 a block, found 2/],
    [
      'a block of too many samples',
      ({ train }) => {
        train.blocks[1].samples = 4;
      },
      /expected 3 samples in block 1, found 4/,
    ],
    [
      'a block of too few bytes',
      ({ train }) => {
        train.blocks[2].bytes = 10;
      },
      /expected 11 bytes in block 2, found 10/,
    ],
    [
      'more samples than blocks hold',
      ({ train }) => {
        train.samples = 8;
      },
      /expected 2 samples in block 2, found 1/,
    ],
  ];
  it.each(wrong)('refuses a manifest with %s', (_what, change, message) => {
    const { manifest, get } = dataset();
    change(manifest);
    expect(() => createBatchReader(manifest, 'train', { get })).toThrow(message);
  });
});
