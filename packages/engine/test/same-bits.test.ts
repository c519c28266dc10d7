import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { initialWeights } from '../src/initial-weights.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { gradientOf, randomBatch, randomWeights, stepOf } from './support.js';

const PROGRAM = fileURLToPath(new URL('./fixtures/gradient-hash.mjs', import.meta.url));

const sha256 = (values: Float32Array) =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');

const spec = stepOf('cnn', { inputShape: [18, 18, 1], filters: [16, 32, 16], hiddenUnits: 8, classes: 4 });
const weights = randomWeights(spec.topology, 1);
const batch = randomBatch(spec, 16, 2);
const engine = await createOrtEngine({ threads: 1 });
const expected = sha256((await gradientOf(engine, spec, weights, batch)).gradient);

/** What the fixture needs to compute the same gradient. */
const question = { spec, weights, batch };

describe('the same grain has the same bits', () => {
  it('when it is repeated, after any number of other grains of other sizes, up to a thousand', async () => {
    const step = await engine.compile(spec);
    const out = new Float32Array(step.layout.totalSize);
    const others = [1, 2, 5].map((count) => randomBatch(spec, count, count));
    for (let other = 0; other <= 1000; other++) {
      if ([0, 1, 2, 10, 100, 1000].includes(other)) {
        await step.gradient(weights, batch, { step: 3, grain: 1 }, out);
        expect(sha256(out), `after ${other} others`).toBe(expected);
      }
      await step.gradient(weights, others[other % 3], { step: other, grain: 0 }, out);
      if (other % 100 === 0) await step.evaluate(weights, others[other % 3]);
    }
  });

  it('when weights and result lie in shared memory', async () => {
    const step = await engine.compile(spec);
    const shared = () => new Float32Array(new SharedArrayBuffer(4 * step.layout.totalSize));
    const [sharedWeights, out] = [shared(), shared()];
    sharedWeights.set(weights);
    await step.gradient(sharedWeights, batch, { step: 3, grain: 1 }, out);
    expect(sha256(out)).toBe(expected);
  });

  it('when the weights are read once for several grains, and again when they have changed', async () => {
    const step = await engine.compile(spec);
    const out = new Float32Array(step.layout.totalSize);
    const others = randomWeights(spec.topology, 2);
    const key = { step: 3, grain: 1 };
    const gradientBy = async (values: Float32Array, id?: string) => {
      await step.gradient(values, batch, key, out, { weightsId: id });
      return sha256(out);
    };
    expect(await gradientBy(weights, 'first')).toBe(expected);
    expect(await gradientBy(new Float32Array(weights.length), 'first')).toBe(expected);
    expect(await gradientBy(others, 'second')).not.toBe(expected);
    expect(await gradientBy(weights, 'first')).toBe(expected);
    await step.evaluate(others, batch);
    expect(await gradientBy(weights, 'first')).toBe(expected);
    expect(await gradientBy(others)).not.toBe(expected);
    expect(await gradientBy(weights)).toBe(expected);
  });

  it('in two worker threads at once, each with an engine of its own', async () => {
    const hashes = await Promise.all([hashInThread(), hashInThread()]);
    expect(hashes).toEqual([expected, expected]);
  });

  it('in another process', () => {
    const input = JSON.stringify(question, (_, value) =>
      ArrayBuffer.isView(value) ? { array: [...(value as Float32Array)] } : value,
    );
    expect(execFileSync(process.execPath, [PROGRAM], { input, encoding: 'utf8', maxBuffer: 2 ** 24 })).toBe(expected);
  });
});

function hashInThread(): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(PROGRAM, { workerData: question });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

describe('initial weights', () => {
  it('are a function of topology and seed alone', () => {
    const again = initialWeights(spec.topology, 7).weights;
    expect(sha256(again)).toBe(sha256(initialWeights(spec.topology, 7).weights));
    expect(sha256(again)).not.toBe(sha256(initialWeights(spec.topology, 8).weights));
  });

  it('have the same bits in another process', () => {
    const input = JSON.stringify({ initial: { topology: spec.topology, seed: 7 } });
    const output = execFileSync(process.execPath, [PROGRAM], { input, encoding: 'utf8' });
    expect(output).toBe(sha256(initialWeights(spec.topology, 7).weights));
  });

  it('differ between layers of equal shape', () => {
    const { topology } = stepOf('mlp', { inputShape: [8], hidden: [8, 8], classes: 4 });
    const { layout, weights: values } = initialWeights(topology, 7);
    const kernel = (name: string) => {
      const { offset, size } = layout.parameters.find((parameter) => parameter.name === name)!;
      return [...values.subarray(offset, offset + size)];
    };
    expect(kernel('hidden1/kernel')).not.toEqual(kernel('hidden2/kernel'));
  });
});
