import type { DataType } from '@tensorflow/tfjs-core';
import { type ReduceAttrs, reducedAxes } from '../../lower/axes.js';
import { tf } from '../../tensors.js';
import { forKernels, type ShapeRule, type ShapeRules } from '../shape-rule.js';

const reduced =
  (dtypeOf: (dtype: DataType) => DataType): ShapeRule =>
  ({ x }, attrs: ReduceAttrs) => {
    const axes = reducedAxes(attrs, x.shape);
    const shape = attrs.keepDims
      ? x.shape.map((extent, index) => (axes.includes(index) ? 1 : extent))
      : x.shape.filter((_, index) => !axes.includes(index));
    return { shape, dtype: dtypeOf(x.dtype) };
  };

export const reduceShapes: ShapeRules = {
  ...forKernels(
    'Sum Prod',
    reduced((dtype) => tf.upcastType(dtype, 'int32')),
  ),
  ...forKernels(
    'Mean',
    reduced(() => 'float32'),
  ),
  ...forKernels(
    'Max Min',
    reduced((dtype) => dtype),
  ),
  ...forKernels(
    'All Any',
    reduced(() => 'bool'),
  ),
  ...forKernels(
    'ArgMax ArgMin',
    reduced(() => 'int32'),
  ),
};
