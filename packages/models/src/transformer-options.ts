/** Hyper-parameters that all transformers share. */
import { z } from 'zod';
import { dropoutRate, extent } from './option-types.js';

export const transformerOptions = {
  /** Tokens of the vocabulary. */
  vocabulary: extent.default(512),
  /** Tokens of a sample. */
  length: extent.default(64),
  width: extent.default(256),
  /** Divides the width. */
  heads: extent.default(4),
  blocks: z.number().int().min(1).max(256).default(2),
  /** Units of the feed-forward layers; four times the width where it is left out. */
  feedForward: extent.optional(),
  dropout: dropoutRate.default(0.1),
};
