import { describe, expect, it } from 'vitest';
import { prepare, readSamples } from './datasets.js';

const CONFIG = { source: 'synthetic', samples: 400, testSamples: 200, shape: [6, 6, 1], classes: 4, seed: 11 };
const all = (count: number) => [...Array(count).keys()];

describe('a synthetic dataset', () => {
  it('is the same from the same seed, whatever the block size', async () => {
    const [one, other] = await Promise.all([prepare(CONFIG), prepare(CONFIG, '.', 1000)]);
    expect(one.manifest.train.blocks.length).not.toBe(other.manifest.train.blocks.length);
    expect(await readSamples(one, all(400))).toEqual(await readSamples(other, all(400)));
  });

  it('differs between seeds and between splits', async () => {
    const [one, other] = await Promise.all([prepare(CONFIG), prepare({ ...CONFIG, seed: 12 })]);
    expect(one.manifest.train.blocks[0].sha256).not.toBe(other.manifest.train.blocks[0].sha256);
    expect(await readSamples(one, [0])).not.toEqual(await readSamples(one, [0], 'test'));
  });

  it('has weights from 0.5 to 1.5 where they are wanted, beside the same samples', async () => {
    const plain = await readSamples(await prepare(CONFIG), all(400));
    const { sampleWeights, ...same } = await readSamples(await prepare({ ...CONFIG, weighted: true }), all(400));
    expect(same).toEqual(plain);
    const weights = [...(sampleWeights as Float32Array)];
    expect(Math.min(...weights)).toBeGreaterThanOrEqual(0.5);
    expect(Math.max(...weights)).toBeLessThanOrEqual(1.5);
    expect(Math.abs(weights.reduce((sum, weight) => sum + weight, 0) / 400 - 1)).toBeLessThan(0.05);
  });

  it('has every class about equally often', async () => {
    const { targets } = await readSamples(await prepare(CONFIG), all(400));
    const counts = all(4).map((label) => targets[0].filter((value) => value === label).length);
    for (const count of counts) expect(count).toBeGreaterThan(60);
  });

  it('can be learnt: the nearest class mean of the training split names nearly every test sample', async () => {
    const dataset = await prepare(CONFIG);
    const [train, test] = [await readSamples(dataset, all(400)), await readSamples(dataset, all(200), 'test')];
    const means = all(4).map((label) => meanOf(train.inputs[0], train.targets[0], label));
    const right = all(200).filter((sample) => {
      const distances = means.map((mean) => distance(mean, test.inputs[0].subarray(sample * 36, sample * 36 + 36)));
      return distances.indexOf(Math.min(...distances)) === test.targets[0][sample];
    });
    expect(right.length).toBeGreaterThan(190);
  });

  it('has equal samples in a class without noise', async () => {
    const { inputs, targets } = await readSamples(await prepare({ ...CONFIG, noise: 0 }), all(50));
    const same = all(50).filter((sample) => targets[0][sample] === targets[0][0]);
    const texts = same.map((sample) => inputs[0].subarray(sample * 36, sample * 36 + 36).join());
    expect(same.length).toBeGreaterThan(1);
    expect(new Set(texts).size).toBe(1);
  });
});

function meanOf(inputs: ArrayLike<number>, labels: ArrayLike<number>, label: number): number[] {
  const mine = all(labels.length).filter((sample) => labels[sample] === label);
  return all(36).map((at) => mine.reduce((sum, sample) => sum + inputs[sample * 36 + at], 0) / mine.length);
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  all(36).reduce((sum, at) => sum + (a[at] - b[at]) ** 2, 0);
