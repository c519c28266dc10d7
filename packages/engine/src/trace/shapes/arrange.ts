/** Kernels that move, repeat or select elements. */
import type { DataType } from '@tensorflow/tfjs-core';
import { tf } from '../../tensors.js';
import type { Inputs, ShapeRules } from '../shape-rule.js';

const { backend_util: backend, slice_util: slices, util } = tf;

const listed = (inputs: Inputs) => Object.values(inputs);
const axisOf = (axis: number, shape: readonly number[]) => (axis < 0 ? axis + shape.length : axis);
const inserted = (shape: readonly number[], at: number, extent: number) => [
  ...shape.slice(0, at),
  extent,
  ...shape.slice(at),
];

export const arrangeShapes: ShapeRules = {
  PadV2: ({ x }, { paddings }: { paddings: [number, number][] }) => ({
    shape: x.shape.map((extent, index) => extent + paddings[index][0] + paddings[index][1]),
    dtype: x.dtype,
  }),
  Reshape: ({ x }, attrs: { shape: number[] }) => ({
    shape: util.inferFromImplicitShape(attrs.shape, util.sizeFromShape(x.shape)),
    dtype: x.dtype,
  }),
  Transpose: ({ x }, attrs: { perm: number[] }) => ({ shape: attrs.perm.map((axis) => x.shape[axis]), dtype: x.dtype }),
  ExpandDims: ({ input }, { dim }: { dim: number }) => ({
    shape: inserted(input.shape, dim < 0 ? input.shape.length + 1 + dim : dim, 1),
    dtype: input.dtype,
  }),
  Concat(inputs, { axis }: { axis: number }) {
    const parts = listed(inputs);
    const at = axisOf(axis, parts[0].shape);
    return {
      shape: backend.computeOutShape(
        parts.map((part) => part.shape),
        at,
      ),
      dtype: parts[0].dtype,
    };
  },
  Pack(inputs, { axis }: { axis: number }) {
    const parts = listed(inputs);
    return { shape: inserted(parts[0].shape, axis, parts.length), dtype: parts[0].dtype };
  },
  Unpack({ value }, { axis }: { axis: number }) {
    const at = axisOf(axis, value.shape);
    const shape = value.shape.filter((_, index) => index !== at);
    return Array.from({ length: value.shape[at] }, () => ({ shape, dtype: value.dtype }));
  },
  SplitV({ x }, { axis, numOrSizeSplits }: { axis: number; numOrSizeSplits: number | number[] }) {
    const at = axisOf(axis, x.shape);
    const sizes = splitSizes(x.shape[at], numOrSizeSplits);
    return sizes.map((size) => ({
      shape: x.shape.map((extent, index) => (index === at ? size : extent)),
      dtype: x.dtype,
    }));
  },
  Slice: ({ x }, { begin, size }: tf.SliceAttrs) => ({
    shape: slices.parseSliceParams(x as tf.TensorInfo, begin, size)[1],
    dtype: x.dtype,
  }),
  Tile: ({ x }, { reps }: { reps: number[] }) => ({
    shape: x.shape.map((extent, index) => extent * reps[index]),
    dtype: x.dtype,
  }),
  BroadcastTo: ({ x }, { shape }: { shape: number[] }) => ({ shape, dtype: x.dtype }),
  Fill: (_, attrs: { shape: number[]; dtype?: DataType }) => ({ shape: attrs.shape, dtype: attrs.dtype ?? 'float32' }),
  Range: (_, { start, stop, step, dtype }: { start: number; stop: number; step: number; dtype?: DataType }) => ({
    shape: [Math.max(0, Math.ceil((stop - start) / step))],
    dtype: dtype ?? 'float32',
  }),
};

function splitSizes(extent: number, sections: number | number[]): number[] {
  if (typeof sections === 'number') return Array.from({ length: sections }, () => extent / sections);
  const known = sections.filter((size) => size >= 0).reduce((sum, size) => sum + size, 0);
  return sections.map((size) => (size < 0 ? extent - known : size));
}
