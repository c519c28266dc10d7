/**
 * Causal decoder: embedding + positions → N pre-norm blocks that see only what came before → norm → softmax over the
 * vocabulary at every place. The head has weights of its own, or is tied to the embedding and uses its vectors.
 * Source: A. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
 */
import * as tfl from '@tensorflow/tfjs-layers';
import { z } from 'zod';
import { applied } from './apply.js';
import { defineModel } from './definition.js';
import { TokenEmbedding } from './layers/token-embedding.js';
import { layerNorm } from './transformer-block.js';
import { transformerOptions } from './transformer-options.js';
import { tokenVectors, transformerTrunk } from './transformer-trunk.js';

type Apply = (x: tfl.SymbolicTensor) => tfl.SymbolicTensor;

/** What stands before and after the blocks. */
interface Ends {
  readonly embed: Apply;
  readonly head: Apply;
}

function freeEnds(vocabulary: number, width: number): Ends {
  const head = tfl.layers.dense({ name: 'next-token', units: vocabulary, activation: 'softmax', useBias: false });
  const embedding = tokenVectors(vocabulary, width);
  return { embed: (x) => applied(embedding, x), head: (x) => applied(head, x) };
}

/** One layer stands at both ends. */
function tiedEnds(vocabulary: number, width: number): Ends {
  const vectors = new TokenEmbedding({ name: 'embedding', vocabulary, width });
  const softmax = tfl.layers.activation({ name: 'next-token', activation: 'softmax' });
  return { embed: (x) => applied(vectors, x), head: (x) => applied(softmax, applied(vectors, x)) };
}

export const gpt = defineModel({
  name: 'gpt',
  summary: 'GPT-like causal decoder that predicts the next token at every place',
  options: z.strictObject({
    ...transformerOptions,
    tied: z.boolean().describe("Use the embedding's vectors in the head as well.").default(false),
  }),
  build({ tied, ...options }) {
    const tokens = tfl.input({ name: 'tokens', shape: [options.length], dtype: 'int32' });
    const { embed, head } = (tied ? tiedEnds : freeEnds)(options.vocabulary, options.width);
    const decoded = layerNorm('norm', transformerTrunk(embed(tokens), { ...options, causal: true }));
    return tfl.model({ name: 'gpt', inputs: tokens, outputs: head(decoded) });
  },
});
