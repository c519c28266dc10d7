/**
 * Residual networks: a stem, four stages of blocks, mean over pixels, Dense softmax.
 * Source: K. He et al., "Deep Residual Learning for Image Recognition", 2015. Small images get a 3×3 stem without pooling,
 * as in the paper's CIFAR experiments.
 */
import * as tfl from '@tensorflow/tfjs-layers';
import { z } from 'zod';
import { applied } from './apply.js';
import { defineModel } from './definition.js';
import { classes, extent, imageShape } from './option-types.js';

type Tensor = tfl.SymbolicTensor;
type Block = (name: string, x: Tensor, filters: number, strides: number) => Tensor;

/** Images up to this size keep their resolution in the stem. */
const SMALL_IMAGE = 64;

function convolved(name: string, x: Tensor, filters: number, kernelSize: number, strides: number): Tensor {
  const layer = tfl.layers.conv2d({
    name,
    filters,
    kernelSize,
    strides,
    padding: 'same',
    useBias: false,
    kernelInitializer: 'heNormal',
  });
  return applied(
    tfl.layers.batchNormalization({ name: `${name}-norm`, momentum: 0.9, epsilon: 1e-5 }),
    applied(layer, x),
  );
}

const relu = (name: string, x: Tensor): Tensor => applied(tfl.layers.activation({ name, activation: 'relu' }), x);

/** The input itself, or a 1×1 convolution of it where the shape changes. */
function shortcut(name: string, x: Tensor, filters: number, strides: number): Tensor {
  return strides === 1 && x.shape[3] === filters ? x : convolved(`${name}-shortcut`, x, filters, 1, strides);
}

const joined = (name: string, x: Tensor, skipped: Tensor): Tensor =>
  relu(`${name}-relu`, applied(tfl.layers.add({ name: `${name}-add` }), [x, skipped]));

const basicBlock: Block = (name, x, filters, strides) => {
  const first = relu(`${name}-relu1`, convolved(`${name}-conv1`, x, filters, 3, strides));
  return joined(name, convolved(`${name}-conv2`, first, filters, 3, 1), shortcut(name, x, filters, strides));
};

const bottleneckBlock: Block = (name, x, filters, strides) => {
  const narrow = relu(`${name}-relu1`, convolved(`${name}-conv1`, x, filters, 1, 1));
  const middle = relu(`${name}-relu2`, convolved(`${name}-conv2`, narrow, filters, 3, strides));
  return joined(name, convolved(`${name}-conv3`, middle, 4 * filters, 1, 1), shortcut(name, x, 4 * filters, strides));
};

const DEPTHS = {
  18: { block: basicBlock, counts: [2, 2, 2, 2] },
  34: { block: basicBlock, counts: [3, 4, 6, 3] },
  50: { block: bottleneckBlock, counts: [3, 4, 6, 3] },
} as const;

function stem(x: Tensor, width: number): Tensor {
  if (Number(x.shape[1]) <= SMALL_IMAGE) return relu('stem-relu', convolved('stem', x, width, 3, 1));
  const reduced = relu('stem-relu', convolved('stem', x, width, 7, 2));
  return applied(tfl.layers.maxPooling2d({ name: 'stem-pool', poolSize: 3, strides: 2, padding: 'same' }), reduced);
}

export const resnet = defineModel({
  name: 'resnet',
  summary: 'residual network of 18, 34 or 50 layers with batch normalisation',
  options: z.strictObject({
    inputShape: imageShape.default([32, 32, 3]),
    depth: z
      .union([z.literal(18), z.literal(34), z.literal(50)])
      .describe('Layers with weights.')
      .default(18),
    width: extent.describe('Channels of the first stage; each further stage doubles them.').default(64),
    classes,
  }),
  build({ inputShape, depth, width, classes: units }) {
    const { block, counts } = DEPTHS[depth];
    const image = tfl.input({ name: 'image', shape: inputShape });
    let x = stem(image, width);
    counts.forEach((count, stage) => {
      for (let index = 0; index < count; index++) {
        const strides = stage > 0 && index === 0 ? 2 : 1;
        x = block(`stage${stage + 1}-block${index + 1}`, x, width * 2 ** stage, strides);
      }
    });
    const pooled = applied(tfl.layers.globalAveragePooling2d({ name: 'pool' }), x);
    const outputs = applied(tfl.layers.dense({ name: 'classes', units, activation: 'softmax' }), pooled);
    return tfl.model({ name: 'resnet', inputs: image, outputs });
  },
});
