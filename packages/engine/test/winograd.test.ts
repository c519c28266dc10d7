import { topologyOf } from '@coord/models';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { LowerContext } from '../src/lower/context.js';
import type { ConvolutionInfo } from '../src/lower/convolution/forward.js';
import {
  minimalConvolution,
  minimalFilterGradient,
  minimalInputGradient,
  paysMinimal,
} from '../src/lower/convolution/winograd.js';
import { convolutionInfo } from '../src/lower/geometry.js';
import { OnnxBuilder } from '../src/onnx/builder.js';
import { probeBlockSize } from '../src/ort/block-size.js';
import { createOrtEngine } from '../src/ort/ort-engine.js';
import { OrtProgram } from '../src/ort/session.js';
import { withBackend } from '../src/tensors.js';
import type { Value } from '../src/trace/graph.js';
import {
  gradientOf,
  inputField,
  labelField,
  numbersFrom,
  randomBatch,
  randomWeights,
  relativeDifference,
  worstDifference,
} from './support.js';

const blockSize = await probeBlockSize();
const FILTERS = 32;

const given = (name: string, shape: readonly number[], id: number): Value => ({
  id,
  kind: 'input',
  name,
  shape,
  dtype: 'float32',
});

const infoOf = (x: readonly number[], filter: readonly number[], pad: 'same' | 'valid'): ConvolutionInfo =>
  convolutionInfo(x, filter, { strides: 1, pad, dilations: 1 } as unknown as tf.Conv2DAttrs, false);

type Arrays = Record<'x' | 'filter' | 'bias' | 'dy', Float32Array>;

/** y, dx and dw by minimal filtering. */
async function minimal(info: ConvolutionInfo, arrays: Arrays): Promise<Float32Array[]> {
  const onnx = new OnnxBuilder();
  const context = new LowerContext(onnx, blockSize, undefined);
  const x = given('x', info.inShape, 0);
  const filter = given('filter', info.filterShape, 1);
  const bias = given('bias', [info.outChannels], 2);
  const dy = given('dy', info.outShape, 3);
  const [y, dx] = [given('y', info.outShape, 4), given('dx', info.inShape, 5)];
  context.set(y, 'blocked', minimalConvolution(context, info, { x, filter, bias }));
  context.set(dx, 'blocked', minimalInputGradient(context, info, dy, filter));
  onnx.output('y', 'float32', info.outShape, context.plain(y));
  onnx.output('dx', 'float32', info.inShape, context.plain(dx));
  onnx.output('dw', 'float32', info.filterShape, minimalFilterGradient(context, info, x, dy));
  const program = await OrtProgram.create({ bytes: onnx.build() }, { threads: 1 });
  for (const [name, values] of Object.entries(arrays)) program.input(name).set(values);
  await program.run();
  const results = ['y', 'dx', 'dw'].map((name) => Float32Array.from(program.output(name)));
  program.dispose();
  return results;
}

/** The same by tfjs. */
function eager(info: ConvolutionInfo, pad: 'same' | 'valid', { x, filter, bias, dy }: Arrays): Float32Array[] {
  return withBackend('cpu', () =>
    tf.tidy(() => {
      const image = tf.tensor4d(x, info.inShape);
      const taps = tf.tensor4d(filter, info.filterShape);
      const convolved = (one: tf.Tensor, other: tf.Tensor) =>
        tf.conv2d(one as tf.Tensor4D, other as tf.Tensor4D, 1, pad);
      const [dx, dw] = tf.grads(convolved)([image, taps], tf.tensor4d(dy, info.outShape));
      return [tf.add(convolved(image, taps), tf.tensor1d(bias)), dx, dw].map((one) => one.dataSync() as Float32Array);
    }),
  );
}

describe.skipIf(blockSize === undefined)('minimal filtering', () => {
  it.each([
    [[4, 4], 16, 'same'],
    [[8, 8], 3, 'same'],
    [[5, 7], 2, 'same'],
    [[1, 2], 5, 'same'],
    [[6, 6], 3, 'valid'],
    [[3, 8], 1, 'valid'],
  ] as const)('%j, %i samples, %s: as tfjs computes it', async ([height, width], count, pad) => {
    const info = infoOf([count, height, width, 16], [3, 3, 16, FILTERS], pad);
    const next = numbersFrom(height * width + count);
    const random = (length: number) => Float32Array.from({ length }, () => next() * 2 - 1);
    const sizeOf = (shape: readonly number[]) => shape.reduce((size, extent) => size * extent, 1);
    const arrays = {
      x: random(sizeOf(info.inShape)),
      filter: random(sizeOf(info.filterShape)),
      bias: random(FILTERS),
      dy: random(sizeOf(info.outShape)),
    };
    const actual = await minimal(info, arrays);
    eager(info, pad, arrays).forEach((expected, at) => {
      expect(relativeDifference(expected, actual[at]), ['y', 'dx', 'dw'][at]).toBeLessThan(2e-6);
    });
  });

  it('trains a model that is large enough for it', async () => {
    const { conv2d, flatten, dense } = tfl.layers;
    const wide = { filters: 256, kernelSize: 3, padding: 'same', activation: 'relu' } as const;
    const spec = {
      topology: topologyOf(
        tfl.sequential({
          layers: [
            conv2d({ ...wide, inputShape: [4, 6, 16] }),
            conv2d(wide),
            conv2d({ ...wide, useBias: false }),
            flatten(),
            dense({ units: 4, activation: 'softmax' }),
          ],
        }),
      ),
      loss: 'categoricalCrossentropy' as const,
      inputs: [inputField([4, 6, 16])],
      targets: [labelField],
      seed: 1,
    };
    const [weights, batch] = [randomWeights(spec.topology, 2), randomBatch(spec, 11, 3)];
    const plain = await gradientOf(await createOrtEngine({ threads: 1, layout: 'plain' }), spec, weights, batch);
    const blocked = await gradientOf(await createOrtEngine({ threads: 1 }), spec, weights, batch);
    expect(worstDifference(plain.layout, plain.gradient, blocked.gradient).error).toBeLessThan(1e-5);
    expect(blocked.gradient).not.toEqual(plain.gradient);
  });

  it('is chosen by static shape: 3×3, stride 1, small images, many channels, enough of them', () => {
    const pays = (x: number[], filter: number[], strides = 1) =>
      paysMinimal(
        new LowerContext(new OnnxBuilder(), 16, undefined),
        convolutionInfo(x, filter, { strides, pad: 'same', dilations: 1 } as unknown as tf.Conv2DAttrs, false),
      );
    expect(pays([32, 4, 4, 512], [3, 3, 512, 512])).toBe(true);
    expect(pays([32, 8, 8, 256], [3, 3, 256, 256])).toBe(true);
    expect(pays([32, 16, 16, 256], [3, 3, 256, 256])).toBe(false);
    expect(pays([8, 4, 4, 512], [3, 3, 512, 512])).toBe(false);
    expect(pays([32, 8, 8, 128], [3, 3, 128, 256])).toBe(false);
    expect(pays([32, 8, 8, 256], [1, 1, 256, 256])).toBe(false);
    expect(pays([32, 8, 8, 256], [3, 3, 256, 256], 2)).toBe(false);
  });
});
