/** Kernels that address elements by computed indices. */
import type { DataType } from '@tensorflow/tfjs-core';
import type { ShapeRules } from '../shape-rule.js';

export const indexShapes: ShapeRules = {
  GatherV2({ x, indices }, { axis, batchDims }: { axis: number; batchDims: number }) {
    const shape = [...x.shape.slice(0, axis), ...indices.shape.slice(batchDims ?? 0), ...x.shape.slice(axis + 1)];
    return { shape, dtype: x.dtype };
  },
  UnsortedSegmentSum: ({ x, segmentIds }, { numSegments }: { numSegments: number }) => ({
    shape: [numSegments, ...x.shape.slice(segmentIds.shape.length)],
    dtype: x.dtype,
  }),
  OneHot: ({ indices }, { depth, dtype }: { depth: number; dtype?: DataType }) => ({
    shape: [...indices.shape, depth],
    dtype: dtype ?? 'int32',
  }),
};
