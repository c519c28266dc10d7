/** Kernels that address elements by computed indices. */
import { tf } from '../tensors.js';
import type { KernelRule, KernelRules } from './context.js';

const gather: KernelRule = ({ inputs: { x, indices }, attrs, outputs: [out] }, context) => {
  const [axis] = tf.util.parseAxisParam((attrs as unknown as tf.GatherV2Attrs).axis, [...x.shape]);
  context.set(out, 'plain', context.op('Gather', [context.plain(x), context.plain(indices)], { axis }));
};

const segmentSum: KernelRule = ({ inputs: { x, segmentIds }, outputs: [out] }, context) => {
  const column = context.reshape(context.plain(segmentIds), [...segmentIds.shape, 1]);
  const indices = context.op('Cast', [column], { to: 7 });
  const zeros = context.filled(0, out.dtype, out.shape);
  context.set(out, 'plain', context.op('ScatterND', [zeros, indices, context.plain(x)], { reduction: 'add' }));
};

/** ONNX Runtime has no one-hot for int32; comparing with a ramp is as quick. */
const oneHot: KernelRule = ({ inputs: { indices }, attrs, outputs: [out] }, context) => {
  const { depth, onValue, offValue } = attrs as unknown as tf.OneHotAttrs;
  const ramp = context.onnx.constant(
    'int32',
    Array.from({ length: depth }, (_, index) => index),
    [depth],
  );
  const labels = context.reshape(context.plain(indices), [...indices.shape, 1]);
  const hits = context.cast(context.op('Equal', [labels, ramp]), 'float32');
  const scaled = onValue - offValue === 1 ? hits : context.op('Mul', [hits, context.scalar(onValue - offValue)]);
  const values = offValue === 0 ? scaled : context.op('Add', [scaled, context.scalar(offValue)]);
  context.set(out, 'plain', out.dtype === 'float32' ? values : context.cast(values, out.dtype));
};

export const indexRules: KernelRules = { GatherV2: gather, UnsortedSegmentSum: segmentSum, OneHot: oneHot };
