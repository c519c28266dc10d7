/** Hyper-parameters that all transformers share. */
import { z } from 'zod';
import { dropoutRate, extent } from './option-types.js';

export const transformerOptions = {
  vocabulary: extent.describe('Tokens of the vocabulary.').default(512),
  length: extent.describe('Tokens of a sample.').default(64),
  width: extent.describe('Numbers that stand for a token.').default(256),
  heads: extent.describe('Heads of the attention; a divisor of the width.').default(4),
  blocks: z.number().int().min(1).max(256).describe('Blocks of attention and feed-forward layers.').default(2),
  feedForward: extent.optional().describe('Units of the feed-forward layers; four times the width where left out.'),
  dropout: dropoutRate.default(0.1),
};
