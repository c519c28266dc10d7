/** What encoder and decoder have in common: tokens → [batch, length, width] after all blocks. */
import * as tfl from '@tensorflow/tfjs-layers';
import { applied } from './apply.js';
import { smallNormal } from './layers/initializers.js';
import { PositionEmbedding } from './layers/position-embedding.js';
import { dropped, transformerBlock } from './transformer-block.js';

export interface TrunkOptions {
  readonly vocabulary: number;
  readonly width: number;
  readonly heads: number;
  readonly blocks: number;
  readonly feedForward?: number | undefined;
  readonly dropout: number;
  readonly causal: boolean;
}

export function transformerTrunk(tokens: tfl.SymbolicTensor, options: TrunkOptions): tfl.SymbolicTensor {
  const { vocabulary, width, heads, blocks, dropout, causal, feedForward = 4 * width } = options;
  const embedding = tfl.layers.embedding({
    name: 'embedding',
    inputDim: vocabulary,
    outputDim: width,
    embeddingsInitializer: smallNormal(),
  });
  const placed = applied(new PositionEmbedding({ name: 'positions' }), applied(embedding, tokens));
  let x = dropped('dropout', dropout, placed);
  for (let index = 1; index <= blocks; index++) {
    x = transformerBlock(x, { name: `block${index}`, width, heads, feedForward, dropout, causal });
  }
  return x;
}
