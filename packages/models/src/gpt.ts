/**
 * Causal decoder: embedding + positions → N pre-norm blocks that see only what came before → norm → softmax over the
 * vocabulary at every place. The head has weights of its own (it is not tied to the embedding).
 * Source: A. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
 */
import * as tfl from '@tensorflow/tfjs-layers';
import { z } from 'zod';
import { applied } from './apply.js';
import { defineModel } from './definition.js';
import { layerNorm } from './transformer-block.js';
import { transformerOptions } from './transformer-options.js';
import { transformerTrunk } from './transformer-trunk.js';

export const gpt = defineModel({
  name: 'gpt',
  summary: 'GPT-like causal decoder that predicts the next token at every place',
  options: z.strictObject(transformerOptions),
  build(options) {
    const tokens = tfl.input({ name: 'tokens', shape: [options.length], dtype: 'int32' });
    const decoded = layerNorm('norm', transformerTrunk(tokens, { ...options, causal: true }));
    const head = tfl.layers.dense({
      name: 'next-token',
      units: options.vocabulary,
      activation: 'softmax',
      useBias: false,
    });
    return tfl.model({ name: 'gpt', inputs: tokens, outputs: applied(head, decoded) });
  },
});
