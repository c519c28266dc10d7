/** Layers of ours that tf.layers lacks. */
import { layers as own } from '@coord/models';
import * as tfl from '@tensorflow/tfjs-layers';
import { apply, chain, dense, type LayerCase, one } from './case.js';

/** A bias of all keys moves all scores of a place alike, which softmax does not see: its gradient is rounding alone. */
const KEY_BIAS = 1e-2;

const attended = (args: Partial<ConstructorParameters<typeof own.MultiHeadAttention>[0]> = {}) =>
  new own.MultiHeadAttention({ heads: 2, keyDepth: 3, ...args });

export const attentions: readonly LayerCase[] = [
  one('self-attention', [5, 6], () => new own.SelfAttention({ heads: 3 })),
  one('causal self-attention', [5, 6], () => new own.SelfAttention({ heads: 2, causal: true })),
  {
    title: 'attention to another sequence',
    floor: KEY_BIAS,
    inputShape: [5, 4],
    build: (input) => apply(attended(), [dense(6)(input), apply(tfl.layers.averagePooling1d({ poolSize: 2 }), input)]),
  },
  {
    title: 'attention with keys of their own, causal',
    floor: KEY_BIAS,
    inputShape: [5, 4],
    build: (input) =>
      apply(attended({ valueDepth: 5, causal: true }), [dense(6)(input), dense(3)(input), dense(7)(input)]),
  },
  chain('position embedding', [5, 4], () => [new own.PositionEmbedding({}), tfl.layers.dense({ units: 3 })]),
  {
    title: 'token embedding at both ends',
    inputShape: [4],
    dtype: 'int32',
    build(input) {
      const vectors = new own.TokenEmbedding({ vocabulary: 7, width: 5 });
      return apply(vectors, dense(5)(apply(vectors, input)));
    },
  },
];
