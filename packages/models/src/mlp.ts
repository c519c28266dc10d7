/** Multi-layer perceptron: Flatten → Dense × n → Dense softmax. */
import * as tfl from '@tensorflow/tfjs-layers';
import { z } from 'zod';
import { defineModel } from './definition.js';
import { classes, extent } from './option-types.js';

const ACTIVATIONS = ['relu', 'tanh', 'sigmoid', 'elu', 'selu', 'swish', 'gelu', 'softplus', 'linear'] as const;

export const mlp = defineModel({
  name: 'mlp',
  summary: 'dense layers on the flattened input, softmax',
  options: z.strictObject({
    inputShape: z.array(extent).min(1).max(4).describe('Shape of one sample; it is flattened.').default([28, 28, 1]),
    hidden: z.array(extent).max(64).describe('Units of the hidden layers.').default([128, 64]),
    activation: z.enum(ACTIVATIONS).describe('Activation of the hidden layers.').default('relu'),
    classes,
  }),
  build({ inputShape, hidden, activation, classes: units }) {
    const model = tfl.sequential({ name: 'mlp', layers: [tfl.layers.inputLayer({ name: 'input', inputShape })] });
    if (inputShape.length > 1) model.add(tfl.layers.flatten({ name: 'flatten' }));
    for (const [index, width] of hidden.entries()) {
      model.add(tfl.layers.dense({ name: `hidden${index + 1}`, units: width, activation }));
    }
    model.add(tfl.layers.dense({ name: 'classes', units, activation: 'softmax' }));
    return model;
  },
});
