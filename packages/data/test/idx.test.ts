import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openIdx } from '../src/idx.js';
import { prepare, readSamples } from './datasets.js';
import { bigEndian, coordErrorOf, directoryWith, IDX, idx } from './files.js';

const IMAGES = idx(IDX.uint8, [3, 2, 2], [0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6]);
const LABELS = idx(IDX.uint8, [3], [2, 0, 1]);
const CONFIG = { source: 'idx', train: { images: 'images', labels: 'labels' } };

const directoryOf = (images: Uint8Array, labels: Uint8Array) => directoryWith({ images, labels });

async function problemOf(images: Uint8Array, labels: Uint8Array, config: object = CONFIG) {
  return coordErrorOf(prepare(config, await directoryOf(images, labels)));
}

describe('an IDX dataset', () => {
  it('gives images as [height, width, 1] scaled to 1, and labels as integers', async () => {
    const dataset = await prepare(CONFIG, await directoryOf(IMAGES, LABELS));
    const batch = await readSamples(dataset, [2, 0]);
    expect(dataset.manifest.fields.map(({ shape, dtype }) => ({ shape, dtype }))).toEqual([
      { shape: [2, 2, 1], dtype: 'float32' },
      { shape: [], dtype: 'int32' },
    ]);
    expect(batch.inputs).toEqual([Float32Array.from([3, 4, 5, 6, 0, 51, 102, 153], (byte) => byte / 255)]);
    expect(batch.targets).toEqual([Int32Array.of(1, 2)]);
    expect(dataset.manifest.classes).toBe(3);
  });

  it('takes shape, scale and offset from the configuration', async () => {
    const config = { ...CONFIG, shape: [4], scale: 2, offset: -1 };
    const dataset = await prepare(config, await directoryOf(IMAGES, LABELS));
    expect(dataset.manifest.fields[0].shape).toEqual([4]);
    expect((await readSamples(dataset, [1])).inputs[0]).toEqual(Float32Array.of(407, 509, 1, 3));
  });

  it('reads gzipped files', async () => {
    const plain = await prepare(CONFIG, await directoryOf(IMAGES, LABELS));
    const zipped = await prepare(CONFIG, await directoryOf(gzipSync(IMAGES), gzipSync(LABELS)));
    expect(zipped.manifest).toEqual(plain.manifest);
  });

  const wide: [
    name: string,
    type: number,
    sizeBytes: number,
    set: (view: DataView, at: number, value: number) => void,
  ][] = [
    ['int8', IDX.int8, 1, (view, at, value) => view.setInt8(at, value)],
    ['int16', IDX.int16, 2, (view, at, value) => view.setInt16(at, value)],
    ['int32', IDX.int32, 4, (view, at, value) => view.setInt32(at, value)],
    ['float32', IDX.float32, 4, (view, at, value) => view.setFloat32(at, value)],
    ['float64', IDX.float64, 8, (view, at, value) => view.setFloat64(at, value)],
  ];
  it.each(wide)('reads big-endian %s elements', async (_name, type, sizeBytes, set) => {
    const values = [-128, -2, -1, 0, 1, 127];
    const images = idx(type, [3, 2], bigEndian(sizeBytes, values, set));
    const dataset = await prepare(CONFIG, await directoryOf(images, LABELS));
    expect((await readSamples(dataset, [0, 1, 2])).inputs[0]).toEqual(Float32Array.from(values));
  });

  it('reads 16-bit labels', async () => {
    const labels = idx(
      IDX.int16,
      [3],
      bigEndian(2, [300, 0, 7], (view, at, value) => view.setInt16(at, value)),
    );
    const dataset = await prepare(CONFIG, await directoryOf(IMAGES, labels));
    expect((await readSamples(dataset, [0, 1, 2])).targets[0]).toEqual(Int32Array.of(300, 0, 7));
    expect(dataset.manifest.classes).toBe(301);
  });

  it('uses only the first samples where the configuration says so', async () => {
    const dataset = await prepare({ ...CONFIG, limit: { train: 2 } }, await directoryOf(IMAGES, LABELS));
    expect(dataset.manifest.train.samples).toBe(2);
  });

  it('names the file that is missing', async () => {
    const error = await coordErrorOf(prepare(CONFIG, await directoryWith({ images: IMAGES })));
    expect(error.code).toBe('DATASET_INVALID');
    expect(error.message).toMatch(/labels: there is no such file$/);
    expect(error.hint).toMatch(/relative/);
  });
});

describe('a damaged IDX file', () => {
  const changed = (bytes: Uint8Array, at: number, value: number) => Uint8Array.from(bytes).fill(value, at, at + 1);
  const cases: [what: string, images: Uint8Array, labels: Uint8Array, message: RegExp][] = [
    ['is empty', new Uint8Array(0), LABELS, /images, byte 0: expected an IDX header, found an empty file/],
    ['has 3 bytes', IMAGES.subarray(0, 3), LABELS, /images, byte 0: expected an IDX header, found a file of 3 bytes/],
    ['begins otherwise', changed(IMAGES, 1, 0x5a), LABELS, /images, byte 0: expected .* two zero bytes, found 00 5a/],
    [
      'has an unknown element type',
      changed(IMAGES, 2, 10),
      LABELS,
      /images, byte 2: expected an IDX element type \(8 uint8, .*\), found 10/,
    ],
    ['has no dimension', changed(IMAGES, 3, 0), LABELS, /images, byte 3: expected 1 to 8 dimensions, found 0/],
    [
      'ends inside its header',
      IMAGES.subarray(0, 10),
      LABELS,
      /images, byte 10: the file ends inside the header of 3 dimensions/,
    ],
    [
      'is truncated',
      IMAGES.subarray(0, 27),
      LABELS,
      /images, byte 27: the header says 3 × 2 × 2 uint8, 28 bytes .* ends after 27; it is truncated/,
    ],
    [
      'has a byte too many',
      Buffer.concat([LABELS, Buffer.of(1)]),
      LABELS,
      /images, byte 11: .* but 1 more bytes follow/,
    ],
    [
      'has no samples',
      idx(IDX.uint8, [0, 2, 2], []),
      LABELS,
      /images, byte 4: expected a number of samples of at least 1, found 0/,
    ],
    [
      'has an empty dimension',
      idx(IDX.uint8, [3, 0, 2], []),
      LABELS,
      /images, byte 8: expected a size of dimension 1 of at least 1/,
    ],
    [
      'has fewer labels than images',
      IMAGES,
      idx(IDX.uint8, [2], [0, 1]),
      /labels, byte 4: expected as many labels as .*images has images, 3, found 2/,
    ],
    ['is exchanged with its images', IMAGES, IMAGES, /labels, byte 3: expected labels of 1 dimension, found 3/],
    [
      'has fractional labels',
      IMAGES,
      idx(IDX.float32, [3], new Uint8Array(12)),
      /labels, byte 2: expected integer labels, found float32/,
    ],
    [
      'has a negative label',
      IMAGES,
      idx(IDX.int8, [3], [0, 255, 1]),
      /labels, byte 9: expected a label of at least 0, found -1/,
    ],
    ['is a broken gzip stream', gzipSync(IMAGES).subarray(0, 20), LABELS, /images: the gzip stream is damaged/],
    [
      'has a NaN',
      idx(IDX.float32, [3, 1], [0, 0, 0, 0, 0x7f, 0xc0, 0, 0, 0, 0, 0, 0]),
      LABELS,
      /images, byte 16: expected a finite float32 number, found NaN/,
    ],
  ];
  it.each(cases)('that %s is refused with its place', async (_what, images, labels, message) => {
    const error = await problemOf(images, labels);
    expect(error.code).toBe('DATASET_INVALID');
    expect(error.message).toMatch(message);
    expect(error.facts.file).toMatch(/images|labels/);
  });

  it('with a label beyond the number of classes is refused with its place', async () => {
    const error = await problemOf(IMAGES, LABELS, { ...CONFIG, classes: 2 });
    expect(error.message).toMatch(/labels, byte 8: expected a label below 2, the number of classes, found 2/);
    expect(error.hint).toMatch(/data.classes/);
  });

  it('whose test split differs from the training split is refused', async () => {
    const directory = await directoryWith({
      images: IMAGES,
      labels: LABELS,
      other: idx(IDX.uint8, [3, 4], new Uint8Array(12)),
    });
    const error = await coordErrorOf(prepare({ ...CONFIG, test: { images: 'other', labels: 'labels' } }, directory));
    expect(error.message).toMatch(/other, byte 4: expected samples like those of .*images, 2 × 2 uint8, found 4 uint8/);
  });

  it('whose shape cannot hold the samples is refused', async () => {
    const error = await problemOf(IMAGES, LABELS, { ...CONFIG, shape: [5] });
    expect(error.message).toMatch(/data.shape 5 does not hold the file's samples of 2 × 2/);
  });

  it('cut anywhere or with any byte of its header changed is refused or still consistent, never a crash', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(IMAGES.length - 1), fc.nat(15), fc.nat(255), async (cut, at, value) => {
        const directory = await directoryWith({ cut: IMAGES.subarray(0, cut), flipped: changed(IMAGES, at, value) });
        expect((await coordErrorOf(openIdx(join(directory, 'cut')))).code).toBe('DATASET_INVALID');
        // Type 9, signed bytes, is as consistent as type 8.
        if (value === IMAGES[at] || (at === 2 && value === IDX.int8)) return;
        expect((await coordErrorOf(openIdx(join(directory, 'flipped')))).code).toBe('DATASET_INVALID');
      }),
      { numRuns: 100 },
    );
  });
});
