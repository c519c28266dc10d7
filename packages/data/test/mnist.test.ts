import { beforeAll, describe, expect, it } from 'vitest';
import type { PreparedDataset } from '../src/prepare.js';
import { blocksOf, prepare, readSamples } from './datasets.js';

describe('MNIST', () => {
  let mnist: PreparedDataset;
  beforeAll(async () => {
    mnist = await prepare({ source: 'mnist' });
  });

  it('has 60,000 training and 10,000 test images of [28, 28, 1] in 10 classes', () => {
    const { name, fields, classes, train, test } = mnist.manifest;
    expect({ name, classes, train: train.samples, test: test?.samples }).toEqual({
      name: 'mnist',
      classes: 10,
      train: 60_000,
      test: 10_000,
    });
    expect(fields).toEqual([
      {
        name: 'image',
        role: 'input',
        shape: [28, 28, 1],
        storage: 'uint8',
        dtype: 'float32',
        scale: 1 / 255,
        offset: 0,
      },
      { name: 'label', role: 'target', shape: [], storage: 'uint8', dtype: 'int32', scale: 1, offset: 0 },
    ]);
  });

  it('is the original: first labels, class counts and the mean pixel are the published ones', async () => {
    const all = await readSamples(
      mnist,
      Array.from({ length: 60_000 }, (_, sample) => sample),
    );
    const [labels] = all.targets;
    expect([...labels.subarray(0, 10)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    const counts = new Array<number>(10).fill(0);
    for (const label of labels) counts[label]++;
    expect(counts).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    const sum = (all.inputs[0] as Float32Array).reduce((total, value) => total + value, 0);
    expect(sum / all.inputs[0].length).toBeCloseTo(0.1307, 4);
  });

  it('has test labels 7, 2, 1, 0, 4 first', async () => {
    expect((await readSamples(mnist, [0, 1, 2, 3, 4], 'test')).targets[0]).toEqual(Int32Array.of(7, 2, 1, 0, 4));
  });

  it('gives every block of its manifest again, with the same bytes', async () => {
    const blocks = mnist.manifest.test?.blocks ?? [];
    expect(blocks.length).toBeGreaterThan(1);
    for (const { sha256, bytes } of blocks) expect((await blocksOf(mnist).get(sha256)).byteLength).toBe(bytes);
  });

  it('can be limited to its first samples', async () => {
    const { manifest } = await prepare({ source: 'mnist', limit: { train: 1000, test: 100 } });
    expect([manifest.train.samples, manifest.test?.samples]).toEqual([1000, 100]);
  });
});
