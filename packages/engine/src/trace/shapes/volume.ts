/** Convolutions and pools of three dimensions. */
import { convolutionInfo3D, poolInfo3D } from '../../lower/geometry.js';
import type { tf } from '../../tensors.js';
import { forKernels, type ShapeRules } from '../shape-rule.js';

const float = (shape: number[]) => ({ shape, dtype: 'float32' as const });

export const volumeShapes: ShapeRules = {
  Conv3D: ({ x, filter }, attrs: tf.Conv3DAttrs) => float(convolutionInfo3D(x.shape, filter.shape, attrs).outShape),
  Conv3DBackpropInputV2: (_, { inputShape }: { inputShape: number[] }) => float(inputShape),
  Conv3DBackpropFilterV2: (_, { filterShape }: { filterShape: number[] }) => float(filterShape),
  ...forKernels('MaxPool3D AvgPool3D', ({ x }, attrs: tf.MaxPool3DAttrs) => float(poolInfo3D(x.shape, attrs).outShape)),
  ...forKernels('MaxPool3DGrad AvgPool3DGrad', ({ input }) => float(input.shape)),
};
