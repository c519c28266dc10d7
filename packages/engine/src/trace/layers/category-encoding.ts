/** Category encoding without its look at the values: what is no category counts as none, as in tfjs's own kernel. */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import type { LayerFormula } from './formula.js';

interface CategoryEncodingLayer extends tfl.layers.Layer {
  readonly numTokens: number;
  readonly outputMode: string;
}

export const categoryEncoding: LayerFormula = (layer, [x]) => {
  const { numTokens, outputMode } = layer as CategoryEncodingLayer;
  const isFew = outputMode === 'multiHot' || outputMode === 'count' || (outputMode === 'oneHot' && x.shape[1] === 1);
  if (x.rank !== 2 || !isFew) return undefined;
  const hits = tf.oneHot(tf.cast(x, 'int32'), numTokens, 1, 0, 'float32');
  return outputMode === 'count' ? tf.sum(hits, 1) : tf.max(hits, 1);
};
