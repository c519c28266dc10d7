import { poolInfo } from '../../lower/geometry.js';
import type { tf } from '../../tensors.js';
import { forKernels, type ShapeRules } from '../shape-rule.js';

export const poolingShapes: ShapeRules = {
  ...forKernels('MaxPool AvgPool', ({ x }, attrs: tf.MaxPoolAttrs) => ({
    shape: poolInfo(x.shape, attrs).outShape,
    dtype: x.dtype,
  })),
  ...forKernels('MaxPoolGrad AvgPoolGrad', ({ input }) => ({ shape: input.shape, dtype: 'float32' })),
  ...forKernels(
    'ResizeNearestNeighbor ResizeBilinear',
    ({ images: { shape } }, { size }: tf.ResizeNearestNeighborAttrs) => ({
      shape: [shape[0], ...size, shape[3]],
      dtype: 'float32',
    }),
  ),
  FusedBatchNorm: ({ x }) => ({ shape: x.shape, dtype: 'float32' }),
};
