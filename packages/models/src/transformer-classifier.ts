/**
 * Encoder of sequences of tokens: embedding + positions → N pre-norm blocks → norm → mean over places → Dense softmax.
 * Source: J. Devlin et al., "BERT", 2018, with the norm before each half block (R. Xiong et al., 2020).
 */
import * as tfl from '@tensorflow/tfjs-layers';
import { z } from 'zod';
import { applied } from './apply.js';
import { defineModel } from './definition.js';
import { classes } from './option-types.js';
import { layerNorm } from './transformer-block.js';
import { transformerOptions } from './transformer-options.js';
import { tokenVectors, transformerTrunk } from './transformer-trunk.js';

export const transformerClassifier = defineModel({
  name: 'transformer-classifier',
  summary: 'BERT-like encoder of token sequences with a pooled softmax head',
  options: z.strictObject({ ...transformerOptions, classes }),
  build({ classes: units, ...options }) {
    const tokens = tfl.input({ name: 'tokens', shape: [options.length], dtype: 'int32' });
    const embedded = applied(tokenVectors(options.vocabulary, options.width), tokens);
    const encoded = layerNorm('norm', transformerTrunk(embedded, { ...options, causal: false }));
    const pooled = applied(tfl.layers.globalAveragePooling1d({ name: 'pool' }), encoded);
    const outputs = applied(tfl.layers.dense({ name: 'classes', units, activation: 'softmax' }), pooled);
    return tfl.model({ name: 'transformer-classifier', inputs: tokens, outputs });
  },
});
