import { topologyOf } from '@coord/models';
import { CoordError } from '@coord/protocol';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../src/create-engine.js';
import type { StepSpec } from '../src/engine.js';
import { initialWeights } from '../src/initial-weights.js';
import { inputField, labelField, randomBatch, randomWeights, stepOf } from './support.js';

const failureOf = (work: Promise<unknown>): Promise<CoordError> =>
  work.then(
    () => Promise.reject(new Error('nothing was thrown')),
    (error: unknown) => {
      if (error instanceof CoordError) return error;
      throw error;
    },
  );

/** A layer whose `call` is given; registered, so that topologies can name it. */
function customLayer(className: string, compute: (x: tf.Tensor) => tf.Tensor) {
  class Custom extends tfl.layers.Layer {
    static get className() {
      return className;
    }
    override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
      return compute(Array.isArray(inputs) ? inputs[0] : inputs);
    }
    override computeOutputShape(shape: tfl.Shape): tfl.Shape {
      return shape;
    }
  }
  tf.serialization.registerClass(Custom);
  return new Custom({ name: `my${className}`, inputShape: [4] } as object);
}

/** @param before layers whose weights have gradients that pass through `layer`. */
const specWith = (layer: tfl.layers.Layer, before: tfl.layers.Layer[] = []): StepSpec => ({
  topology: topologyOf(
    tfl.sequential({ layers: [...before, layer, tfl.layers.dense({ name: 'd', units: 4, activation: 'softmax' })] }),
  ),
  loss: 'categoricalCrossentropy',
  inputs: [inputField([4])],
  targets: [labelField],
  seed: 1,
});

async function refusalOf(layer: tfl.layers.Layer, before: tfl.layers.Layer[] = []): Promise<CoordError> {
  const spec = specWith(layer, before);
  const step = await (await createEngine({ name: 'ort', threads: 1 })).compile(spec);
  const out = new Float32Array(step.layout.totalSize);
  return failureOf(step.gradient(randomWeights(spec.topology, 1), randomBatch(spec, 2, 1), { step: 0, grain: 0 }, out));
}

describe('what cannot be compiled is refused', () => {
  it('names layer and kernel when there is no rule for a kernel', async () => {
    const error = await refusalOf(customLayer('Spectrum', (x) => tf.real(tf.fft(tf.complex(x, tf.zerosLike(x))))));
    expect(error.code).toBe('ENGINE_UNSUPPORTED');
    expect(error.message).toMatch(/layer "mySpectrum" \(Spectrum\), .*test\/errors\.test\.ts:\d+.*Complex/);
    expect(error.hint).toContain('engine: tfjs-cpu');
  });

  it('names the layer that draws random numbers, instead of freezing them', async () => {
    const error = await refusalOf(customLayer('Noise', (x) => tf.add(x, tf.randomNormal(x.shape))));
    expect(error.code).toBe('ENGINE_UNSUPPORTED');
    expect(error.message).toMatch(/layer "myNoise" \(Noise\), .*errors\.test\.ts:\d+.*random/);
    expect(error.hint).not.toContain('tfjs-cpu');
  });

  it('names the layer that reads values', async () => {
    const error = await refusalOf(customLayer('Reader', (x) => tf.mul(x, tf.max(x).dataSync()[0])));
    expect(error.message).toMatch(/layer "myReader" \(Reader\), .*errors\.test\.ts:\d+.*reads/);
  });

  const withGradient = (className: string, slope: (dy: tf.Tensor) => tf.Tensor) =>
    customLayer(
      className,
      tf.customGrad((x) => ({ value: tf.mul(x as tf.Tensor, 2), gradFunc: (dy) => slope(dy) })),
    );

  it.each([
    [
      'uses a kernel without rule',
      () => withGradient('SlopeSpectrum', (dy) => tf.real(tf.fft(tf.complex(dy, dy)))),
      /Complex/,
    ],
    ['reads values', () => withGradient('SlopeReader', (dy) => tf.mul(dy, dy.dataSync()[0])), /reads/],
    [
      'does not exist',
      () => customLayer('NoSlope', (x) => tf.engine().runKernel('EluGrad', { dy: x, y: x })),
      /no gradient for kernel/,
    ],
  ] as const)('names the layer whose gradient %s', async (_, layer, why) => {
    const error = await refusalOf(layer(), [tfl.layers.dense({ name: 'before', units: 4, inputShape: [4] })]);
    expect(error.code).toBe('ENGINE_UNSUPPORTED');
    expect(error.message).toMatch(/the gradient of layer "my\w+" \(\w+\), .*errors\.test\.ts:\d+/);
    expect(error.message).toMatch(why);
  });

  it.each([
    [
      'a kernel without rule',
      () => customLayer('EagerSpectrum', (x) => tf.real(tf.fft(tf.complex(x, tf.zerosLike(x))))),
    ],
    ['values read', () => customLayer('EagerReader', (x) => tf.mul(x, tf.max(x).dataSync()[0]))],
  ] as const)('and the eager engine computes it: %s', async (_, layer) => {
    const spec = specWith(layer());
    const step = await (await createEngine({ name: 'tfjs-cpu', threads: 1 })).compile(spec);
    const out = new Float32Array(step.layout.totalSize);
    const batch = randomBatch(spec, 2, 1);
    await step.gradient(randomWeights(spec.topology, 1), batch, { step: 0, grain: 0 }, out);
    expect(out.some((value) => value !== 0)).toBe(true);
  });

  it('leaves the thread able to compile the next model', async () => {
    await refusalOf(customLayer('Again', (x) => tf.mul(x, tf.max(x).dataSync()[0])));
    const spec = stepOf('mlp', { inputShape: [4], hidden: [3], classes: 4 });
    const step = await (await createEngine({ name: 'ort', threads: 1 })).compile(spec);
    const sums = await step.evaluate(randomWeights(spec.topology, 1), randomBatch(spec, 2, 1));
    expect(sums.samples).toBe(2);
  });
});

const L = tfl.layers;

/** A model of one layer, which knows its input's shape. */
function alone(layer: tfl.layers.Layer): tfl.LayersModel {
  const input = tfl.input({ batchShape: layer.batchInputShape });
  return tfl.model({ inputs: input, outputs: layer.apply(input) as tfl.SymbolicTensor });
}

describe.each(['ort', 'tfjs-cpu'] as const)('%s refuses what is no function of a grain', (name) => {
  const cells = { units: 2, recurrentInitializer: 'glorotUniform' } as const;

  it.each([
    [
      'a stateful layer',
      () => L.lstm({ ...cells, stateful: true, batchInputShape: [2, 3, 4], name: 'it' }),
      /LSTM.*state/,
    ],
    [
      'one inside another',
      () =>
        L.bidirectional({
          layer: L.gru({ ...cells, stateful: true, name: 'inner' }) as tfl.RNN,
          batchInputShape: [2, 3, 4],
          name: 'it',
        }),
      /"it" \(Bidirectional\).*state/,
    ],
    [
      'images of random width',
      () => L.randomWidth({ factor: 0.2, inputShape: [4, 4, 1], name: 'it' }),
      /RandomWidth.*chance/,
    ],
    [
      'dilation that tf.layers ignores',
      () => L.depthwiseConv2d({ kernelSize: 2, dilationRate: 2, inputShape: [4, 4, 1], name: 'it' }),
      /DepthwiseConv2D.*dilationRate/,
    ],
  ] as const)('%s', async (_, make, message) => {
    const spec = {
      ...specWith(customLayer('Plain', (x) => x)),
      topology: topologyOf(alone(make())),
    };
    const error = await failureOf((await createEngine({ name, threads: 1 })).compile(spec));
    expect(error.code).toBe('ENGINE_UNSUPPORTED');
    expect(error.message).toMatch(message);
  });
});

describe('compile', () => {
  it.each(['ort', 'tfjs-cpu'] as const)('of %s says when dataset and model do not fit', async (name) => {
    const engine = await createEngine({ name, threads: 1 });
    const spec = stepOf('mlp', { inputShape: [4], hidden: [3], classes: 4 });
    const error = await failureOf(engine.compile({ ...spec, inputs: [] }));
    expect(error).toMatchObject({ code: 'DATASET_INVALID', message: expect.stringContaining('0 input fields') });
  });

  it('refuses a topology that is none', async () => {
    const engine = await createEngine({ name: 'auto', threads: 1 });
    const spec = { ...stepOf('mlp', { inputShape: [4], classes: 4 }), topology: '{}' };
    expect((await failureOf(engine.compile(spec))).code).toBe('MODEL_INVALID');
  });
});

describe('initial weights', () => {
  it('refuse an initializer that no seed reaches', () => {
    class Loose extends tfl.layers.Layer {
      static get className() {
        return 'Loose';
      }
      override build(): void {
        this.addWeight('w', [2], 'float32', tfl.initializers.randomNormal({}));
        this.built = true;
      }
      override computeOutputShape(shape: tfl.Shape): tfl.Shape {
        return shape;
      }
    }
    tf.serialization.registerClass(Loose);
    const { topology } = specWith(new Loose({ name: 'loose', inputShape: [4] } as object));
    expect(() => initialWeights(topology, 1)).toThrow(/without a seed/);
  });
});
