/**
 * Scaled dot-product attention.
 * Source: A. Vaswani et al., "Attention Is All You Need", 2017, section 3.2.
 */
import * as tf from '@tensorflow/tfjs-core';

/** Added to the score of a place that must not be seen; its softmax is zero in float32. */
const HIDDEN = -1e9;

/**
 * @param queries [count, heads, places, depth]
 * @param keys [count, heads, sources, depth]
 * @param values [count, heads, sources, value depth]
 * @param causal true where a place may only see sources that do not stand after it.
 * @returns [count, heads, places, value depth]
 */
export function attention(queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, causal: boolean): tf.Tensor {
  const depth = queries.shape[3] as number;
  const scores = tf.matMul(tf.mul(queries, 1 / Math.sqrt(depth)), keys, false, true);
  const seen = causal ? tf.add(scores, causalMask(queries.shape[2] as number, keys.shape[2] as number)) : scores;
  return tf.matMul(tf.softmax(seen), values);
}

/** [places, sources]: zero where a row's place may see the column's. */
function causalMask(places: number, sources: number): tf.Tensor {
  const values = new Float32Array(places * sources);
  for (let row = 0; row < places; row++)
    values.fill(HIDDEN, row * sources + Math.min(row + 1, sources), (row + 1) * sources);
  return tf.tensor(values, [places, sources]);
}
