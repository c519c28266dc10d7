/** Matrix products. */
import { type Attributes, MICROSOFT, type Name } from '../onnx/builder.js';
import type { Node, Value } from '../trace/graph.js';
import { activated } from './activation.js';
import { lowerBanded } from './banded.js';
import type { KernelRule, KernelRules, LowerContext } from './context.js';

interface ProductAttrs {
  transposeA: boolean;
  transposeB: boolean;
}

const isMatrix = (value: Value): boolean => value.shape.slice(0, -2).every((extent) => extent === 1);

const matrixOf = (context: LowerContext, value: Value): Name =>
  value.shape.length === 2 ? context.plain(value) : context.reshape(context.plain(value), value.shape.slice(-2));

/** A strip: rows of a product that stay in the cache while its shared axis is walked. */
const STRIP_ROWS = 256;
const MIN_DEEP = 512;

/**
 * Where the shared axis is the longest, ONNX Runtime's kernel passes over the result many times, and a tall one does not stay
 * in the cache meanwhile: then strips of it are a tenth quicker.
 */
function paysInStrips(a: Value, b: Value, { transposeA, transposeB }: ProductAttrs): boolean {
  const [rows, depth] = a.shape.slice(-2);
  const columns = b.shape.at(transposeB ? -2 : -1) as number;
  return !transposeA && depth >= MIN_DEEP && depth > columns && rows > STRIP_ROWS && rows % STRIP_ROWS === 0;
}

/** The axis more in the right matrix keeps ONNX Runtime from making one product of it again. */
function productInStrips(context: LowerContext, a: Value, b: Value, transposes: Attributes): Name {
  const [rows, depth] = a.shape.slice(-2);
  const strips = context.reshape(context.plain(a), [rows / STRIP_ROWS, STRIP_ROWS, depth]);
  const right = context.reshape(context.plain(b), [1, 1, ...b.shape.slice(-2)]);
  return context.op('FusedMatMul', [strips, right], transposes, MICROSOFT);
}

const batchMatMul: KernelRule = (node, context) => {
  const { a, b, bias } = node.inputs;
  const attrs = node.attrs as unknown as ProductAttrs;
  const transposes = { transA: attrs.transposeA ? 1 : 0, transB: attrs.transposeB ? 1 : 0 };
  const [out] = node.outputs;
  const addends = bias ? [context.plain(bias)] : [];
  if (!isMatrix(a) || !isMatrix(b)) {
    const product = context.op('FusedMatMul', [context.plain(a), context.plain(b)], transposes, MICROSOFT);
    const sum = bias ? context.op('Add', [product, ...addends]) : product;
    return context.set(out, 'plain', activated(context, sum, node));
  }
  if (isLinear(node) && lowerBanded(context, node.inputs, attrs, out)) return;
  if (paysInStrips(a, b, attrs)) {
    const product = context.reshape(productInStrips(context, a, b, transposes), out.shape);
    const sum = bias ? context.op('Add', [product, ...addends]) : product;
    return context.set(out, 'plain', activated(context, sum, node));
  }
  const product = context.op('Gemm', [matrixOf(context, a), matrixOf(context, b), ...addends], transposes);
  const shaped = out.shape.length === 2 ? product : context.reshape(product, out.shape);
  context.set(out, 'plain', activated(context, shaped, node));
};

const isLinear = ({ attrs: { activation } }: Node): boolean => !activation || activation === 'linear';

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
