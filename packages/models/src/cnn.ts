/**
 * The seed CNN: Conv 3×3 → MaxPool 2 → Conv 3×3 → MaxPool 2 → Conv 3×3 → Flatten → Dense → Dense softmax.
 * With the defaults: 93,322 parameters for 28×28 grey images.
 */
import * as tfl from '@tensorflow/tfjs-layers';
import { z } from 'zod';
import { defineModel } from './definition.js';
import { classes, extent, imageShape } from './option-types.js';

const { conv2d, dense, flatten, maxPooling2d } = tfl.layers;

export const cnn = defineModel({
  name: 'cnn',
  summary: 'three 3×3 convolutions with max pooling, one hidden dense layer, softmax',
  options: z.strictObject({
    inputShape: imageShape.default([28, 28, 1]),
    filters: z.tuple([extent, extent, extent]).describe('Channels of the three convolutions.').default([32, 64, 64]),
    hiddenUnits: extent.describe('Units of the hidden dense layer.').default(64),
    classes,
  }),
  build({ inputShape, filters, hiddenUnits, classes: units }) {
    const convolution = (index: number) => ({
      name: `conv${index + 1}`,
      filters: filters[index],
      kernelSize: 3,
      activation: 'relu' as const,
    });
    return tfl.sequential({
      name: 'cnn',
      layers: [
        conv2d({ ...convolution(0), inputShape }),
        maxPooling2d({ name: 'pool1', poolSize: 2 }),
        conv2d(convolution(1)),
        maxPooling2d({ name: 'pool2', poolSize: 2 }),
        conv2d(convolution(2)),
        flatten({ name: 'flatten' }),
        dense({ name: 'hidden', units: hiddenUnits, activation: 'relu' }),
        dense({ name: 'classes', units, activation: 'softmax' }),
      ],
    });
  },
});
