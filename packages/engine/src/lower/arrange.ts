/** Kernels that move, repeat or select elements. */
import { tf } from '../tensors.js';
import type { Value } from '../trace/graph.js';
import { columnsOf, type KernelRule, type KernelRules, type LowerContext, sameShape } from './context.js';

const axisOf = (axis: number, shape: readonly number[]) => (axis < 0 ? axis + shape.length : axis);

const reshape: KernelRule = ({ inputs: { x }, outputs: [out] }, context) => {
  if (sameShape(x.shape, out.shape)) return context.alias(out, x);
  if (context.isBanded(x) && columnsOf(x) === columnsOf(out)) return context.set(out, 'banded', context.banded(x));
  const isColumn = x.shape.length === 4 && x.shape[1] === 1 && x.shape[2] === 1;
  // With one pixel, channels first and channels last are the same order.
  const source = isColumn && context.isChannelsFirst(x) ? context.nchw(x) : context.plain(x);
  context.set(out, 'plain', context.reshape(source, out.shape));
};

const concat: KernelRule = ({ inputs, attrs, outputs: [out] }, context) => {
  const axis = axisOf((attrs as unknown as tf.ConcatAttrs).axis, out.shape);
  const parts = Object.values(inputs).filter((part) => !part.shape.includes(0));
  if (out.shape.length === 4 && parts.every((part) => context.isChannelsFirst(part))) {
    const at = [0, 2, 3, 1][axis];
    return context.set(
      out,
      'nchw',
      context.op(
        'Concat',
        parts.map((part) => context.nchw(part)),
        { axis: at },
      ),
    );
  }
  context.set(
    out,
    'plain',
    context.op(
      'Concat',
      parts.map((part) => context.plain(part)),
      { axis },
    ),
  );
};

const pack: KernelRule = ({ inputs, attrs, outputs: [out] }, context) => {
  const axis = axisOf((attrs as unknown as tf.PackAttrs).axis, out.shape);
  const slot = out.shape.map((extent, index) => (index === axis ? 1 : extent));
  const parts = Object.values(inputs).map((part) => context.reshape(context.plain(part), slot));
  context.set(out, 'plain', context.op('Concat', parts, { axis }));
};

function split(context: LowerContext, x: Value, axis: number, sizes: readonly number[]): string[] {
  if (sizes.length === 1) return [context.plain(x)];
  return context.onnx.ops('Split', [context.plain(x), context.onnx.integers(sizes)], sizes.length, { axis });
}

const splitKernel: KernelRule = ({ inputs: { x }, attrs, outputs }, context) => {
  const axis = axisOf((attrs as unknown as tf.SplitVAttrs).axis, x.shape);
  const parts = split(
    context,
    x,
    axis,
    outputs.map((part) => part.shape[axis]),
  );
  outputs.forEach((out, index) => {
    context.set(out, 'plain', parts[index]);
  });
};

const unpack: KernelRule = ({ inputs: { value }, attrs, outputs }, context) => {
  const axis = axisOf((attrs as unknown as tf.UnpackAttrs).axis, value.shape);
  const parts = split(
    context,
    value,
    axis,
    outputs.map(() => 1),
  );
  outputs.forEach((out, index) => {
    context.set(out, 'plain', context.reshape(parts[index], out.shape));
  });
};

const slice: KernelRule = ({ inputs: { x }, attrs, outputs: [out] }, context) => {
  const { begin: from, size } = attrs as unknown as tf.SliceAttrs;
  const [begin] = tf.slice_util.parseSliceParams(x as unknown as tf.TensorInfo, from, size);
  const ends = begin.map((start, axis) => start + out.shape[axis]);
  context.set(
    out,
    'plain',
    context.slice(
      context.plain(x),
      begin,
      ends,
      begin.map((_, axis) => axis),
    ),
  );
};

const pad: KernelRule = ({ inputs: { x }, attrs, outputs: [out] }, context) => {
  const { paddings, constantValue } = attrs as unknown as tf.PadV2Attrs;
  const amounts = [...paddings.map(([before]) => before), ...paddings.map(([, after]) => after)];
  const operands = [context.plain(x), context.onnx.integers(amounts), context.scalar(constantValue, x.dtype)];
  context.set(out, 'plain', context.op('Pad', operands));
};

const tile: KernelRule = ({ inputs: { x }, attrs, outputs: [out] }, context) => {
  const { reps } = attrs as unknown as tf.TileAttrs;
  const isBroadcast = x.shape.every((extent, axis) => extent === 1 || reps[axis] === 1);
  const type = isBroadcast ? 'Expand' : 'Tile';
  const amounts = context.onnx.integers(isBroadcast ? out.shape : reps);
  context.set(out, 'plain', context.op(type, [context.plain(x), amounts]));
};

const fill: KernelRule = ({ attrs, outputs: [out] }, context) => {
  const { value } = attrs as unknown as { value: number };
  context.set(out, 'plain', context.filled(value, out.dtype, out.shape));
};

const reverse: KernelRule = ({ inputs: { x }, attrs, outputs: [out] }, context) => {
  const axes = [(attrs as unknown as tf.ReverseAttrs).dims].flat();
  const first = axes.map(() => -1);
  const beforeFirst = axes.map((axis) => -x.shape[axis] - 1);
  context.set(out, 'plain', context.slice(context.plain(x), first, beforeFirst, axes, first));
};

const range: KernelRule = ({ attrs, outputs: [out] }, context) => {
  const { start, step } = attrs as unknown as tf.RangeAttrs;
  const values = Array.from({ length: out.shape[0] }, (_, index) => start + index * step);
  context.set(out, 'plain', context.onnx.constant(out.dtype === 'int32' ? 'int32' : 'float32', values, out.shape));
};

export const arrangeRules: KernelRules = {
  Reshape: reshape,
  ExpandDims: ({ inputs: { input }, outputs: [out] }, context) =>
    context.set(out, 'plain', context.reshape(context.plain(input), out.shape)),
  Transpose: ({ inputs: { x }, attrs, outputs: [out] }, context) =>
    context.set(out, 'plain', context.transpose(context.plain(x), (attrs as unknown as tf.TransposeAttrs).perm)),
  Concat: concat,
  Pack: pack,
  SplitV: splitKernel,
  Unpack: unpack,
  Slice: slice,
  PadV2: pad,
  Tile: tile,
  BroadcastTo: ({ inputs: { x }, outputs: [out] }, context) =>
    context.set(out, 'plain', context.op('Expand', [context.plain(x), context.onnx.integers(out.shape)])),
  Fill: fill,
  Reverse: reverse,
  Range: range,
};
