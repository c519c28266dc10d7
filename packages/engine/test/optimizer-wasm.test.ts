import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { arenaBytes, createArena, createLayout, type Layout } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createOptimizer } from '../src/optimizer/index.js';
import { createWasmRunner } from '../src/optimizer/wasm.js';
import { LAYOUT, SPECS, titleOf } from './optimizer-cases.js';

/** WebAssembly leaves the payload of a NaN open (∞ − ∞ after an overflow); which NaN it is has no meaning. */
const bitsOf = (values: Float32Array): Buffer =>
  Buffer.from(values.map((value) => (Number.isNaN(value) ? Number.NaN : value)).buffer);

/** Finite float32 of every magnitude, denormals and both zeros among them. */
const float = fc.float({ noNaN: true, noDefaultInfinity: true });

const sizes = fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 4 });
const updates = fc.record({
  sizes,
  values: fc.array(float, { minLength: 1, maxLength: 200 }),
  step: fc.integer({ min: 0, max: 1_000_000 }),
  learningRate: fc.double({ min: 0, max: 10, noNaN: true }),
});

const layoutOf = (lengths: readonly number[]): Layout =>
  createLayout(
    lengths.map((size, i) => ({ name: `p${i}`, shape: [size], role: i % 3 === 1 ? 'statistic' : 'trainable' })),
  );

/** Second moments are sums of squares: a negative one is nothing that an optimizer could have made. */
const fitFor = (name: string) => (value: number) => (/second|Square/.test(name) ? Math.abs(value) : value);

function fill(flat: Float32Array, layout: Layout, valueAt: (i: number) => number): Float32Array {
  for (const { offset, size } of layout.parameters) for (let i = offset; i < offset + size; i++) flat[i] = valueAt(i);
  return flat;
}

describe.each(SPECS.map((spec) => [titleOf(spec), spec] as const))('%s in WebAssembly', (_, spec) => {
  it('has the same bits as in JavaScript', () => {
    fc.assert(
      fc.property(updates, ({ sizes, values, step, learningRate }) => {
        const layout = layoutOf(sizes);
        const names = ['weights', 'gradients', ...createOptimizer(spec, layout).slotNames];
        const arena = createArena(arenaBytes(names.map(() => layout.totalSize * 4)));
        const resultOf = (allocate: (length: number) => Float32Array) => {
          const flats = names.map((name, at) =>
            fill(allocate(layout.totalSize), layout, (i) => fitFor(name)(values[(i * 7 + at * 13) % values.length])),
          );
          const [weights, gradients, ...rest] = flats;
          const slots = new Map(rest.map((slot, i) => [names[i + 2], slot]));
          createOptimizer(spec, layout, { memory: arena.memory }).apply({
            weights,
            gradients,
            slots,
            step,
            learningRate,
          });
          return flats.map(bitsOf);
        };
        const shared = resultOf(arena.float32);
        const plain = resultOf((length) => new Float32Array(length));
        names.forEach((name, i) => {
          expect(shared[i].equals(plain[i]), name).toBe(true);
        });
      }),
      { numRuns: 200 },
    );
  });
});

describe('the WebAssembly runner', () => {
  it('takes buffers of its own memory and no others', () => {
    const arena = createArena(LAYOUT.totalSize * 8);
    const runner = createWasmRunner(arena.memory);
    const [inside, outside] = [arena.float32(LAYOUT.totalSize), new Float32Array(LAYOUT.totalSize)];
    expect(runner.reaches([inside, inside])).toBe(true);
    expect(runner.reaches([inside, outside])).toBe(false);
  });

  it('takes buffers that came to a thread in one message with their memory', () => {
    const arena = createArena(LAYOUT.totalSize * 4);
    const { port1, port2 } = new MessageChannel();
    port1.postMessage({ memory: arena.memory, weights: arena.float32(LAYOUT.totalSize) });
    const { memory, weights } = receiveMessageOnPort(port2)?.message ?? {};
    port1.close();
    expect(memory).not.toBe(arena.memory);
    expect(createWasmRunner(memory).reaches([weights])).toBe(true);
  });

  it('changes nothing outside of the buffers', () => {
    const arena = createArena(4 * LAYOUT.totalSize * 4);
    const before = arena.float32(16).fill(7);
    const [weights, gradients] = [arena.float32(LAYOUT.totalSize), arena.float32(LAYOUT.totalSize)];
    const after = arena.float32(16).fill(7);
    gradients.fill(1);
    const optimizer = createOptimizer(SPECS[0], LAYOUT, { memory: arena.memory });
    optimizer.apply({ weights, gradients, slots: new Map(), step: 0, learningRate: 1 });
    expect(weights[0]).toBe(-1);
    expect([...before, ...after].every((value) => value === 7)).toBe(true);
  });
});
