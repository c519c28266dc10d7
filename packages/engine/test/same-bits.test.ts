import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { topologyOf } from '@coord/models';
import type { Field } from '@coord/protocol';
import * as tfl from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import type { StepSpec } from '../src/engine.js';
import { initialWeights } from '../src/initial-weights.js';
import { probeBlockSize } from '../src/ort/block-size.js';
import { createOrtEngine, KERNELS_FROM } from '../src/ort/ort-engine.js';
import { withBackend } from '../src/tensors.js';
import { kernelsOf } from './lowering.js';
import { gradientOf, inputField, labelField, randomBatch, randomWeights, stepOf, worstDifference } from './support.js';

const PROGRAM = fileURLToPath(new URL('./fixtures/gradient-hash.mjs', import.meta.url));

const sha256 = (values: Float32Array) =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');

const engine = await createOrtEngine({ threads: 1 });

interface Case {
  readonly spec: StepSpec;
  /** Kernels of ours that it uses with these many samples. */
  readonly kernels: readonly string[];
  readonly count: number;
  /** Samples of other grains, and how many of those are computed in between. */
  readonly others: readonly number[];
  readonly repeats: readonly number[];
}

const DECODER_KERNELS = [
  'crossEntropy',
  'crossEntropyGradient',
  'geluGradient',
  'joinHeads',
  'layerNormGradient',
  'softmaxGradient',
  'splitHeads',
];

const blockSize = await probeBlockSize();

const CASES: Readonly<Record<string, Case>> = {
  cnn: {
    spec: stepOf('cnn', { inputShape: [18, 18, 1], filters: [16, 32, 16], hiddenUnits: 8, classes: 4 }),
    kernels: blockSize === undefined ? [] : ['maxPoolGradient2x2'],
    count: 16,
    others: [1, 2, 5],
    repeats: [0, 1, 2, 10, 100, 1000],
  },
  'gpt, with kernels of ours between sessions': {
    spec: decoder({ vocabulary: 64, length: 32, width: 64, heads: 4, blocks: 1 }),
    kernels: DECODER_KERNELS,
    count: 16,
    others: [1, 20, 5],
    repeats: [0, 1, 2, 10, 100],
  },
  'gpt, with products in bands': {
    spec: decoder({ vocabulary: 256, length: 32, width: 256, heads: 4, blocks: 1 }),
    kernels: DECODER_KERNELS,
    count: 8,
    others: [1, 12, 5],
    repeats: [0, 1, 10],
  },
};

function decoder(options: Record<string, unknown> & { length: number }): StepSpec {
  const fieldOf = (field: Field): Field => ({ ...field, shape: [options.length], dtype: 'int32', storage: 'int32' });
  const { topology, ...spec } = stepOf('gpt', options as never);
  return { ...spec, topology, inputs: [fieldOf(inputField([]))], targets: [fieldOf(labelField)] };
}

describe.each(Object.entries(CASES))(
  'the same grain of %s has the same bits',
  (_, { spec, kernels, count, ...rest }) => {
    const weights = randomWeights(spec.topology, 1);
    const batch = randomBatch(spec, count, 2);
    /** What the fixture needs to compute the same gradient. */
    const question = { spec, weights, batch };
    let expected: string;

    beforeAll(async () => {
      expected = sha256((await gradientOf(engine, spec, weights, batch)).gradient);
    });

    it('computed by the kernels that it should be', () => {
      const used = kernelsOf(spec, count, { kernelsFrom: KERNELS_FROM, blockSize });
      expect([...new Set(used)].sort()).toEqual(kernels);
    });

    it('when it is repeated, after any number of other grains of other sizes', async () => {
      const step = await engine.compile(spec);
      const out = new Float32Array(step.layout.totalSize);
      const others = rest.others.map((size) => randomBatch(spec, size, size));
      for (let other = 0; other <= Math.max(...rest.repeats); other++) {
        if (rest.repeats.includes(other)) {
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
      const hashes = await Promise.all([hashInThread(question), hashInThread(question)]);
      expect(hashes).toEqual([expected, expected]);
    });

    it('in another process', () => {
      const input = JSON.stringify(question, (_key, value) =>
        ArrayBuffer.isView(value) ? { array: [...(value as Float32Array)] } : value,
      );
      expect(execFileSync(process.execPath, [PROGRAM], { input, encoding: 'utf8', maxBuffer: 2 ** 24 })).toBe(expected);
    });
  },
);

function hashInThread(question: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(PROGRAM, { workerData: question });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

describe('an engine of two threads', () => {
  const embedding = () => tfl.layers.embedding({ inputDim: 4, outputDim: 256, inputLength: 64 });
  const pooled = withBackend('cpu', () =>
    tfl.sequential({
      layers: [
        embedding(),
        tfl.layers.globalAveragePooling1d({}),
        tfl.layers.dense({ units: 4, activation: 'softmax' }),
      ],
    }),
  );
  const [{ spec: gpt }, { spec: cnn }] = [CASES['gpt, with products in bands'], CASES.cnn];
  const field = inputField([64], 'int32');

  it.each([
    ['gpt, with kernels of ours between its sessions', gpt, 8, KERNELS_FROM],
    ['gpt, in one session', gpt, 8, Number.POSITIVE_INFINITY],
    ['an embedding of few tokens', { ...cnn, topology: topologyOf(pooled), inputs: [field] }, 64, KERNELS_FROM],
  ] as const)("repeats its bits and agrees with one thread's: %s", async (_, spec, count, kernelsFrom) => {
    const weights = randomWeights(spec.topology, 1);
    const batch = randomBatch(spec, count, 2, 4);
    const expected = await gradientOf(engine, spec, weights, batch);
    const step = await (await createOrtEngine({ threads: 2, kernelsFrom })).compile(spec);
    const grain = async (out: Float32Array) => {
      await step.gradient(weights, batch, { step: 3, grain: 1 }, out);
      return sha256(out);
    };
    const first = new Float32Array(step.layout.totalSize);
    const bits = await grain(first);
    const { name, error } = worstDifference(step.layout, expected.gradient, first);
    expect(error, name).toBeLessThan(1e-4);
    for (let repeat = 0; repeat < 20; repeat++) expect(await grain(new Float32Array(first.length))).toBe(bits);
    step.dispose();
  });
});

describe('initial weights', () => {
  const { spec } = CASES.cnn;

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
