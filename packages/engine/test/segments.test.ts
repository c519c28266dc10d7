import { bucketsOf, type ElementRange } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StepSpec } from '../src/engine.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { cutIntoSegments, type GraphNode } from '../src/segments/cut.js';
import { type Lifetime, planBound, planMemory } from '../src/segments/memory-plan.js';
import { inputField, randomBatch, randomWeights, stepOf } from './support.js';

const engine = await createOrtEngine({ threads: 1 });
const plain = await createOrtEngine({ threads: 1, layout: 'plain' });
const kernels = await createOrtEngine({ threads: 1, kernelsFrom: 0 });

const tokens = (name: string, options: Record<string, unknown>): StepSpec => ({
  ...stepOf(name, { ...options, classes: 4 } as never),
  inputs: [inputField([options.length as number], 'int32')],
});

const MODELS: [string, StepSpec][] = [
  ['mlp', stepOf('mlp', { inputShape: [20], hidden: [70, 30], classes: 4 })],
  ['cnn', stepOf('cnn', { inputShape: [18, 18, 1], filters: [16, 32, 16], hiddenUnits: 8, classes: 4 })],
  ['resnet', stepOf('resnet', { inputShape: [16, 16, 3], width: 16, classes: 4 })],
  ['text-cnn', tokens('text-cnn', { vocabulary: 50, length: 12, width: 16, filters: 8 })],
  ['transformer-classifier', tokens('transformer-classifier', { vocabulary: 50, length: 8, width: 16, heads: 2 })],
];

/** Both ways on one step, each bucket as it was when it was reported. */
async function bothWays(on: typeof engine, spec: StepSpec, bucketBytes: number) {
  const step = await on.compile(spec);
  const weights = randomWeights(spec.topology, 3);
  const batch = randomBatch(spec, 6, 4);
  const key = { step: 3, grain: 1 };
  const whole = new Float32Array(step.layout.totalSize).fill(Number.NaN);
  const wholeSums = await step.gradient(weights, batch, key, whole);
  const buckets = bucketsOf(step.layout, bucketBytes);
  const out = new Float32Array(step.layout.totalSize).fill(Number.NaN);
  const reported: { bucket: number; values: Float32Array }[] = [];
  const onComplete = (bucket: number) => {
    const { start, end } = buckets[bucket];
    reported.push({ bucket, values: out.slice(start, end) });
  };
  const stagedSums = await step.gradient(weights, batch, key, out, { stages: { buckets, onComplete } });
  step.dispose();
  return { whole, wholeSums, buckets, reported, stagedSums };
}

const bits = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex');

function expectSameBits(whole: Float32Array, buckets: readonly ElementRange[], reported: { values: Float32Array }[]) {
  buckets.forEach(({ start, end }, bucket) => {
    expect(bits(reported[bucket].values)).toBe(bits(whole.subarray(start, end)));
  });
}

describe('a gradient in stages', () => {
  it.each(MODELS)(
    'has the same bits as in one piece, and each bucket is complete when it is reported: %s',
    async (_, spec) => {
      for (const bucketBytes of [1024, 5000]) {
        const { whole, wholeSums, buckets, reported, stagedSums } = await bothWays(engine, spec, bucketBytes);
        expect(buckets.length).toBeGreaterThan(1);
        expect(reported.map(({ bucket }) => bucket)).toEqual([...buckets.keys()]);
        expectSameBits(whole, buckets, reported);
        expect(stagedSums).toEqual(wholeSums);
      }
    },
  );

  it('has the same bits with kernels of ours between sessions', async () => {
    const { whole, wholeSums, buckets, reported, stagedSums } = await bothWays(kernels, MODELS[4][1], 5000);
    expectSameBits(whole, buckets, reported);
    expect(stagedSums).toEqual(wholeSums);
  });

  it('has the same bits without the blocked layout', async () => {
    const { whole, buckets, reported } = await bothWays(plain, MODELS[1][1], 1024);
    expectSameBits(whole, buckets, reported);
  });

  it('is told in one piece where there is one bucket', async () => {
    const { buckets, whole, reported } = await bothWays(engine, MODELS[0][1], 2 ** 30);
    expect(buckets).toHaveLength(1);
    expectSameBits(whole, buckets, reported);
  });

  it('can be repeated, with other weights and batches in between', async () => {
    const spec = MODELS[1][1];
    const step = await engine.compile(spec);
    const buckets = bucketsOf(step.layout, 1024);
    const gradient = async (seed: number) => {
      const out = new Float32Array(step.layout.totalSize);
      const [weights, batch] = [randomWeights(spec.topology, seed), randomBatch(spec, 5, seed)];
      await step.gradient(weights, batch, { step: seed, grain: 0 }, out, { stages: { buckets, onComplete() {} } });
      return bits(out);
    };
    const first = await gradient(1);
    for (const seed of [2, 3, 4]) expect(await gradient(seed)).not.toBe(first);
    expect(await gradient(1)).toBe(first);
  });
});

/** Graphs in which a node reads leaves and earlier nodes, and some nodes are ours. */
const graphs = fc.integer({ min: 1, max: 30 }).chain((count) =>
  fc.tuple(
    ...Array.from({ length: count }, (_, index) =>
      fc.record({
        type: fc.constantFrom('MatMul', 'Add', 'Reshape', 'Transpose', 'Own'),
        inputs: fc.array(fc.integer({ min: -3, max: index - 1 }), { minLength: 1, maxLength: 3 }),
      }),
    ),
  ),
);
const nameOf = (value: number): string => (value < 0 ? `leaf${-value}` : `v${value}`);

const graphNode = (type: string, inputs: number[], index: number): GraphNode => ({
  type,
  inputs: inputs.map(nameOf),
  outputs: [nameOf(index)],
  isOwn: type === 'Own',
});

describe('cutting a graph into segments', () => {
  it('computes every result no later than asked, from what is at hand, and what is costly once', () => {
    fc.assert(
      fc.property(graphs, fc.integer({ min: 1, max: 5 }), fc.infiniteStream(fc.nat()), (drawn, count, picks) => {
        const nodes = drawn.map(({ type, inputs }, index) => graphNode(type, inputs, index));
        const pick = () => nameOf((picks.next().value as number) % nodes.length);
        const results = Array.from({ length: count }, () => [pick(), pick()]);
        // Kernels of ours may stand anywhere.
        const segments = cutIntoSegments(
          [...nodes].sort((a, b) => Number(b.isOwn) - Number(a.isOwn)),
          results,
        );
        const handedOver = new Set<string>();
        const costly: GraphNode[] = [];
        for (const segment of segments) {
          const atHand = new Set(segment.carriedIn);
          for (const name of segment.carriedIn) expect(handedOver.has(name)).toBe(true);
          for (const node of segment.nodes) {
            expect(node.isOwn).toBe(segment.isOwn);
            for (const name of node.inputs) expect(name.startsWith('leaf') || atHand.has(name)).toBe(true);
            for (const name of node.outputs) atHand.add(name);
            if (node.type !== 'Reshape' && node.type !== 'Transpose') costly.push(node);
          }
          for (const name of segment.carriedOut) {
            expect(atHand.has(name)).toBe(true);
            handedOver.add(name);
          }
        }
        expect(new Set(costly).size).toBe(costly.length);
        expect(segments.map(({ stage }) => stage)).toEqual(segments.map(({ stage }) => stage).sort((a, b) => a - b));
        results.forEach((names, stage) => {
          const until = segments.filter((segment) => segment.stage <= stage);
          const done = new Set(until.flatMap((segment) => segment.nodes.flatMap(({ outputs }) => outputs)));
          for (const name of names) expect(done.has(name)).toBe(true);
        });
      }),
    );
  });

  it('lets ONNX Runtime and our kernels take turns, as few as there can be', () => {
    // Two chains of an operation, a kernel and an operation: three segments, not six.
    const chain = (at: number) =>
      ['MatMul', 'Own', 'MatMul'].map((type, index) =>
        graphNode(type, [index === 0 ? -1 : at + index - 1], at + index),
      );
    const segments = cutIntoSegments([...chain(0), ...chain(3)], [['v2', 'v5']]);
    expect(segments.map(({ isOwn, nodes }) => [isOwn, nodes.length])).toEqual([
      [false, 2],
      [true, 2],
      [false, 2],
    ]);
  });
});

describe('the memory of a segmented program', () => {
  it('gives values that live at the same time places of their own, aligned, and others the same', () => {
    const lifetimes = fc.array(
      fc.record({ bytes: fc.integer({ min: 1, max: 1000 }), first: fc.nat(20), length: fc.nat(5) }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(lifetimes, fc.nat(500), (drawn, base) => {
        const values: Lifetime[] = drawn.map(({ bytes, first, length }, index) => ({
          name: `v${index}`,
          bytes,
          first,
          last: first + length,
        }));
        const { offsets, bytes } = planMemory(values, base);
        const sizes = values.map((value) => value.bytes);
        expect(bytes).toBeLessThanOrEqual(planBound(sizes, base));
        for (const a of values) {
          const start = offsets.get(a.name) as number;
          expect(start % 64).toBe(0);
          expect(start).toBeGreaterThanOrEqual(base);
          expect(start + a.bytes).toBeLessThanOrEqual(bytes);
          for (const b of values) {
            if (a === b || a.first > b.last || b.first > a.last) continue;
            const other = offsets.get(b.name) as number;
            expect(start + a.bytes <= other || other + b.bytes <= start).toBe(true);
          }
        }
      }),
    );
    const apart = [0, 1, 2].map((at) => ({ name: `v${at}`, bytes: 64, first: at, last: at }));
    expect(planMemory(apart).bytes).toBe(64);
    expect(planBound([64, 1, 65], 1)).toBe(64 + 64 + 64 + 128);
  });
});
