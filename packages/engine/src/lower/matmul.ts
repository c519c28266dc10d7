/** Matrix products. */
import { MICROSOFT, type Name } from '../onnx/builder.js';
import type { Value } from '../trace/graph.js';
import { activated } from './activation.js';
import type { KernelRule, KernelRules, LowerContext } from './context.js';

interface ProductAttrs {
  transposeA: boolean;
  transposeB: boolean;
}

const isMatrix = (value: Value): boolean => value.shape.slice(0, -2).every((extent) => extent === 1);

const matrixOf = (context: LowerContext, value: Value): Name =>
  value.shape.length === 2 ? context.plain(value) : context.reshape(context.plain(value), value.shape.slice(-2));

const batchMatMul: KernelRule = (node, context) => {
  const { a, b, bias } = node.inputs;
  const { transposeA, transposeB } = node.attrs as unknown as ProductAttrs;
  const transposes = { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 };
  const [out] = node.outputs;
  const addends = bias ? [context.plain(bias)] : [];
  if (!isMatrix(a) || !isMatrix(b)) {
    const product = context.op('FusedMatMul', [context.plain(a), context.plain(b)], transposes, MICROSOFT);
    const sum = bias ? context.op('Add', [product, ...addends]) : product;
    return context.set(out, 'plain', activated(context, sum, node));
  }
  const product = context.op('Gemm', [matrixOf(context, a), matrixOf(context, b), ...addends], transposes);
  const shaped = out.shape.length === 2 ? product : context.reshape(product, out.shape);
  context.set(out, 'plain', activated(context, shaped, node));
};

const softmax =
  (type: string): KernelRule =>
  ({ inputs: { logits }, outputs: [out] }, context) =>
    context.set(out, 'plain', context.op(type, [context.plain(logits)], { axis: -1 }));

export const matmulRules: KernelRules = {
  BatchMatMul: batchMatMul,
  _FusedMatMul: batchMatMul,
  Softmax: softmax('Softmax'),
  LogSoftmax: softmax('LogSoftmax'),
};
