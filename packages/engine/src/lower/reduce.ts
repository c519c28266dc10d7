/** Reductions over axes. */

import { BLOCKED, type Name } from '../onnx/builder.js';
import type { Value } from '../trace/graph.js';
import { type ReduceAttrs, reducedAxes } from './axes.js';
import { type KernelRule, type KernelRules, type LowerContext, sameShape } from './context.js';

/** Place of each NHWC axis in NCHW. */
const CHANNELS_FIRST_AXIS = [0, 2, 3, 1];

const reduce =
  (type: string): KernelRule =>
  ({ inputs: { x }, attrs, outputs: [out] }, context) => {
    const { keepDims } = attrs as ReduceAttrs;
    const axes = reducedAxes(attrs, x.shape);
    if (axes.length === 0) return context.alias(out, x);
    if (type === 'ReduceSum' && !keepDims && sameShape(axes, [0, 1, 2]) && context.has(x, 'blocked')) {
      return context.set(out, 'plain', sumToChannels(context, x));
    }
    reduceInPlace(context, type, x, out, axes, keepDims ?? false);
  };

/** Reduces channels-first values where they lie, as long as the result is in order there too. */
function reduceInPlace(
  context: LowerContext,
  type: string,
  x: Value,
  out: Value,
  axes: number[],
  keepDims: boolean,
): void {
  const emit = (name: Name, over: number[]) =>
    context.op(type, [name, context.onnx.integers(over)], { keepdims: keepDims ? 1 : 0 });
  const orderKept = keepDims || axes.length === 4 || sameShape(axes, [0, 1, 2]) || sameShape(axes, [1, 2]);
  if (context.isChannelsFirst(x) && orderKept) {
    const moved = axes.map((axis) => CHANNELS_FIRST_AXIS[axis]).sort((a, b) => a - b);
    context.set(out, keepDims ? 'nchw' : 'plain', emit(context.nchw(x), moved));
  } else {
    context.set(out, 'plain', emit(context.plain(x), axes));
  }
}

/** Sum over batch, height and width of a blocked value: the pool averages each plane, which is quick. */
function sumToChannels(context: LowerContext, x: Value): Name {
  const [, height, width, channels] = x.shape;
  const means = context.op('GlobalAveragePool', [context.blocked(x)], {}, BLOCKED);
  const sums = context.op('Mul', [context.sum(means, [0]), context.scalar(height * width)]);
  return context.reshape(sums, [channels]);
}

const argument =
  (type: string): KernelRule =>
  ({ inputs: { x }, attrs, outputs: [out] }, context) => {
    const [axis] = reducedAxes(attrs, x.shape);
    const found = context.op(type, [context.plain(x)], { axis, keepdims: 0 });
    context.set(out, 'plain', context.cast(found, 'int32'));
  };

/** Booleans reduce as integers. */
const booleans =
  (type: string): KernelRule =>
  ({ inputs: { x }, attrs, outputs: [out] }, context) => {
    const { keepDims } = attrs as ReduceAttrs;
    const axes = reducedAxes(attrs, x.shape);
    const numbers = context.cast(context.plain(x), 'int32');
    const reduced = context.op(type, [numbers, context.onnx.integers(axes)], { keepdims: keepDims ? 1 : 0 });
    context.set(out, 'plain', context.cast(reduced, 'bool'));
  };

export const reduceRules: KernelRules = {
  Sum: reduce('ReduceSum'),
  Mean: reduce('ReduceMean'),
  Max: reduce('ReduceMax'),
  Min: reduce('ReduceMin'),
  Prod: reduce('ReduceProd'),
  ArgMax: argument('ArgMax'),
  ArgMin: argument('ArgMin'),
  All: booleans('ReduceMin'),
  Any: booleans('ReduceMax'),
};
