/** Kernels of `own-kernels.ts`. */
import type { ShapeRules } from '../shape-rule.js';

export const ownShapes: ShapeRules = {
  ChannelAffine: ({ x }) => ({ shape: x.shape, dtype: 'float32' }),
  LayerNorm({ x }) {
    const rows = { shape: [...x.shape.slice(0, -1), 1], dtype: 'float32' as const };
    return [{ shape: x.shape, dtype: 'float32' }, rows, rows];
  },
  LayerNormGradient({ x, scale }) {
    const vector = { shape: scale.shape, dtype: 'float32' as const };
    return [{ shape: x.shape, dtype: 'float32' }, vector, vector];
  },
  /** Losses, largest logits, 1 / Σ e^(logit − largest), number of the largest. */
  CrossEntropy({ labels: { shape } }) {
    const places = { shape, dtype: 'float32' as const };
    return [places, places, places, { shape, dtype: 'int32' }];
  },
  CrossEntropyGradient: ({ logits }) => ({ shape: logits.shape, dtype: 'float32' }),
  GeluGradient: ({ x }) => ({ shape: x.shape, dtype: 'float32' }),
  Gelu: ({ x }) => ({ shape: x.shape, dtype: 'float32' }),
};
