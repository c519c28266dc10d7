/** Kernels that address elements by computed indices. */
import { sizeOfShape } from '@coord/protocol';
import { tf } from '../tensors.js';
import type { KernelRule, KernelRules } from './context.js';

const gather: KernelRule = ({ inputs: { x, indices }, attrs, outputs: [out] }, context) => {
  const [axis] = tf.util.parseAxisParam((attrs as unknown as tf.GatherV2Attrs).axis, [...x.shape]);
  context.set(out, 'plain', context.op('Gather', [context.plain(x), context.plain(indices)], { axis }));
};

/**
 * On several threads ONNX Runtime's ScatterND loses additions to the same row (github.com/microsoft/onnxruntime/issues/23396);
 * ScatterElements, slower, adds one after another.
 */
const segmentSum: KernelRule = ({ inputs: { x, segmentIds }, outputs: [out] }, context) => {
  const rows = sizeOfShape(segmentIds.shape);
  const columns = sizeOfShape(x.shape) / rows;
  const indices = context.op('Cast', [context.reshape(context.plain(segmentIds), [rows, 1])], { to: 7 });
  const zeros = context.filled(0, out.dtype, [out.shape[0], columns]);
  const updates = context.reshape(context.plain(x), [rows, columns]);
  const everywhere = () => context.op('Expand', [indices, context.onnx.integers([rows, columns])]);
  const sums =
    context.threads === 1
      ? context.op('ScatterND', [zeros, indices, updates], { reduction: 'add' })
      : context.op('ScatterElements', [zeros, everywhere(), updates], { axis: 0, reduction: 'add' });
  context.set(out, 'plain', context.reshape(sums, out.shape, [out.shape[0], columns]));
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
