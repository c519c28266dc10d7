/** What encoder and decoder have in common: embedded tokens → [batch, length, width] after all blocks. */
import * as tfl from '@tensorflow/tfjs-layers';
import { applied } from './apply.js';
import { smallNormal } from './layers/initializers.js';
import { PositionEmbedding } from './layers/position-embedding.js';
import { dropped, transformerBlock } from './transformer-block.js';

export interface TrunkOptions {
  readonly width: number;
  readonly heads: number;
  readonly blocks: number;
  readonly feedForward?: number | undefined;
  readonly dropout: number;
  readonly causal: boolean;
}

/** A vector of `width` numbers for each token of the vocabulary. */
export function tokenVectors(vocabulary: number, width: number): tfl.layers.Layer {
  return tfl.layers.embedding({
    name: 'embedding',
    inputDim: vocabulary,
    outputDim: width,
    embeddingsInitializer: smallNormal(),
  });
}

/** @param embedded [batch, length, width] */
export function transformerTrunk(embedded: tfl.SymbolicTensor, options: TrunkOptions): tfl.SymbolicTensor {
  const { width, heads, blocks, dropout, causal, feedForward = 4 * width } = options;
  const placed = applied(new PositionEmbedding({ name: 'positions' }), embedded);
  let x = dropped('dropout', dropout, placed);
  for (let index = 1; index <= blocks; index++) {
    x = transformerBlock(x, { name: `block${index}`, width, heads, feedForward, dropout, causal });
  }
  return x;
}
