/** Kernels of `own-kernels.ts`. */
import type { ShapeRules } from '../shape-rule.js';

export const ownShapes: ShapeRules = {
  ChannelAffine: ({ x }) => ({ shape: x.shape, dtype: 'float32' }),
  LayerNorm({ x }) {
    const rows = { shape: [...x.shape.slice(0, -1), 1], dtype: 'float32' as const };
    return [{ shape: x.shape, dtype: 'float32' }, rows, rows];
  },
  GeluGradient: ({ x }) => ({ shape: x.shape, dtype: 'float32' }),
  Gelu: ({ x }) => ({ shape: x.shape, dtype: 'float32' }),
};
