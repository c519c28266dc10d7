/**
 * Embedding → parallel Conv1D over windows of several lengths → the largest value of each filter → Dense softmax.
 * Source: Y. Kim, "Convolutional Neural Networks for Sentence Classification", 2014.
 */
import * as tfl from '@tensorflow/tfjs-layers';
import { z } from 'zod';
import { applied } from './apply.js';
import { defineModel } from './definition.js';
import { classes, dropoutRate, extent } from './option-types.js';
import { dropped } from './transformer-block.js';

export const textCnn = defineModel({
  name: 'text-cnn',
  summary: 'parallel one-dimensional convolutions over token embeddings, max over time, softmax',
  options: z.strictObject({
    vocabulary: extent.describe('Tokens of the vocabulary.').default(10_000),
    length: extent.describe('Tokens of a sample.').default(128),
    width: extent.describe('Numbers that stand for a token.').default(128),
    windows: z
      .array(extent)
      .min(1)
      .max(16)
      .describe('Tokens that a window spans, a convolution each.')
      .default([3, 4, 5]),
    filters: extent.describe('Channels of each convolution.').default(100),
    dropout: dropoutRate.default(0.5),
    classes,
  }),
  build({ vocabulary, length, width, windows, filters, dropout, classes: units }) {
    const tokens = tfl.input({ name: 'tokens', shape: [length], dtype: 'int32' });
    const embedded = applied(
      tfl.layers.embedding({ name: 'embedding', inputDim: vocabulary, outputDim: width }),
      tokens,
    );
    const found = windows.map((kernelSize, index) => {
      const name = `conv${index + 1}`;
      const matches = applied(tfl.layers.conv1d({ name, filters, kernelSize, activation: 'relu' }), embedded);
      return applied(tfl.layers.globalMaxPooling1d({ name: `${name}-max` }), matches);
    });
    const features = found.length > 1 ? applied(tfl.layers.concatenate({ name: 'features' }), found) : found[0];
    const head = tfl.layers.dense({ name: 'classes', units, activation: 'softmax' });
    return tfl.model({
      name: 'text-cnn',
      inputs: tokens,
      outputs: applied(head, dropped('dropout', dropout, features)),
    });
  },
});
