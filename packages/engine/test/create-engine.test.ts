import { CoordError, ENGINES } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../src/create-engine.js';
import type { Engine } from '../src/engine.js';
import { AUTO_ORDER } from '../src/registry/auto.js';
import { CONCRETE_ENGINES } from '../src/registry/guide.js';
import { ProvingEngine } from '../src/registry/proving-engine.js';
import { gradientError, requireAgreement } from '../src/registry/self-check.js';
import { measureSpeed } from '../src/registry/speed.js';
import { MAX_GRADIENT_ERROR } from '../src/registry/tolerance.js';
import { gradientOf, randomBatch, randomWeights, stepOf } from './support.js';

const isInstalled = (name: string) =>
  import(`@tensorflow/${name}`).then(
    () => true,
    () => false,
  );

describe('engine: auto', () => {
  it('knows every engine that has a name', () => {
    const names = ENGINES.filter((name) => name !== 'auto').sort();
    expect([...CONCRETE_ENGINES].sort()).toEqual(names);
    expect(AUTO_ORDER.map(({ name }) => name).sort()).toEqual(names);
  });

  it('is an engine that computes right', async () => {
    const engine = await createEngine({ name: 'auto', threads: 1 });
    expect(engine.name).toBe(engine.identity.engine);
    expect(CONCRETE_ENGINES).toContain(engine.name);
    expect(await gradientError(engine)).toBeLessThan(MAX_GRADIENT_ERROR);
  });
});

describe('an engine that has to prove itself', () => {
  const spec = stepOf('mlp', { inputShape: [5], hidden: [3], classes: 4 });
  const weights = randomWeights(spec.topology, 1);
  const batch = randomBatch(spec, 2, 1);

  it('makes way for the next one when it computes a model wrong', async () => {
    const fails = failing(await createEngine({ name: 'tfjs-cpu', threads: 1 }));
    const engine = new ProvingEngine(fails, () => createEngine({ name: 'ort', threads: 1 }));
    const { loss } = await gradientOf(engine, spec, weights, batch);
    const expected = await gradientOf(await createEngine({ name: 'ort', threads: 1 }), spec, weights, batch);
    expect(loss).toBe(expected.loss);
    expect([engine.name, engine.identity.engine]).toEqual(['ort', 'ort']);
  });

  it('stays when it computes the model right', async () => {
    const engine = new ProvingEngine(await createEngine({ name: 'tfjs-cpu', threads: 1 }), () =>
      Promise.reject(new Error('nobody may ask')),
    );
    await gradientOf(engine, spec, weights, batch);
    expect(engine.name).toBe('tfjs-cpu');
  });
});

/** The engine, but every gradient fails as an unverified one does. */
const failing = (engine: Engine): Engine => ({
  ...engine,
  async compile(spec) {
    const step = await engine.compile(spec);
    step.gradient = () => Promise.reject(new CoordError('ENGINE_FAILED', 'it is off by 1.5'));
    return step;
  },
});

describe('an engine that is not there', () => {
  it.each(['tfjs-node', 'tfjs-node-gpu'] as const)('%s is refused with the package that it needs', async (name) => {
    if (await isInstalled(name)) return expect((await createEngine({ name, threads: 1 })).name).toBe(name);
    await expect(createEngine({ name, threads: 1 })).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
      message: `engine ${name} does not work here: the npm package @tensorflow/${name} is not installed`,
      hint: expect.stringContaining(`npm install @tensorflow/${name}@`),
    });
  });

  it('is refused on several threads where its library stands only one', async () => {
    await expect(createEngine({ name: 'ort-webgpu', threads: 1, sharesProcess: true })).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
      message: expect.stringContaining('use --workers 1'),
    });
  });
});

describe('the self-check', () => {
  it.each(['ort', 'tfjs-cpu'] as const)('finds nothing wrong with %s', async (name) => {
    expect(await requireAgreement(await createEngine({ name, threads: 1 }))).toBeLessThan(1e-5);
  });

  it.each([
    ['wrong', 1.2],
    ['no numbers', Number.NaN],
  ])('refuses an engine whose gradients are %s', async (_, factor) => {
    const distorted = distort(await createEngine({ name: 'tfjs-cpu', threads: 1 }), factor);
    await expect(requireAgreement(distorted)).rejects.toMatchObject({ code: 'ENGINE_FAILED' });
  });
});

/** The engine with every gradient multiplied. */
function distort(engine: Engine, factor: number): Engine {
  return {
    ...engine,
    async compile(spec) {
      const step = await engine.compile(spec);
      return {
        layout: step.layout,
        evaluate: step.evaluate.bind(step),
        predict: step.predict.bind(step),
        dispose: step.dispose.bind(step),
        async gradient(weights, batch, key, out) {
          const sums = await step.gradient(weights, batch, key, out);
          out.forEach((value, at) => {
            out[at] = value * factor;
          });
          return sums;
        },
      };
    },
  };
}

describe('the speed figure', () => {
  it('counts what was computed in the time that the clock shows', async () => {
    const engine = await createEngine({ name: 'ort', threads: 1 });
    // Every look at this clock finds it 10 ms later, so each gradient takes 10 ms.
    let now = 0;
    const clock = { nowMs: () => (now += 10), after: () => () => {} };
    expect(await measureSpeed(engine, 640, clock)).toEqual({ samplesPerSecond: 6400, batch: 64 });
    expect(await measureSpeed(engine, 80, clock)).toEqual({ samplesPerSecond: 800, batch: 8 });
  });
});
