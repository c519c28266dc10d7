/**
 * What kernels of ours compute in one pass (assembly/kernels/), and beside each what plain operations compute instead: on GPUs,
 * and where a tensor is too small for a kernel to pay.
 */
import type { Name } from '../onnx/builder.js';
import type { HeadsAttrs } from '../passes/attention-heads.js';
import type { Value } from '../trace/graph.js';
import { paysInBands } from './banded.js';
import { columnsOf, type KernelRule, type KernelRules, type LowerContext, type OwnOutput, rowsOf } from './context.js';
import { elementwise } from './elementwise.js';

const geluGradient: KernelRule = ({ inputs: { x, dy }, outputs }, context) => {
  const [dx, columnSums] = outputs;
  if (context.paysAsKernel(x)) {
    const isBanded = context.isBanded(x) && context.isBanded(dy);
    const scalars = [...extentsOf(x), bandOf(context, columnsOf(x), isBanded)];
    const results = [dx, columnSums ?? columnOf(x)];
    return context.own('geluGradient', [x, dy], results, scalars, isBanded ? [x, dy, dx] : []);
  }
  elementwise(context, dx, [x, dy], (value, slope) => context.op('Mul', [slope, geluSlope(context, value)]));
  if (columnSums) context.set(columnSums, 'plain', sumOfColumns(context, dx));
};

/** Φ(x) + x · φ(x) = (1 + erf(h) + 2/√π · h / e^(h²)) / 2 with h = x/√2; where e^(h²) overflows, the quotient is the 0 that it should be. */
function geluSlope(context: LowerContext, x: Name): Name {
  const half = context.op('Mul', [x, context.scalar(Math.SQRT1_2)]);
  const power = context.op('Exp', [context.op('Mul', [half, half])]);
  const density = context.op('Mul', [context.op('Div', [half, power]), context.scalar(2 / Math.sqrt(Math.PI))]);
  const sum = context.op('Add', [context.op('Add', [context.op('Erf', [half]), density]), context.scalar(1)]);
  return context.op('Mul', [sum, context.scalar(0.5)]);
}

const layerNormGradient: KernelRule = (node, context) => {
  const { dy, x, mean, inverse, scale, addend } = node.inputs;
  const [dx, scaleSums, offsetSums, columnSums] = node.outputs;
  if (!context.paysAsKernel(x)) return plainLayerNormGradient(node, context);
  // Where nothing is added, its place in the arguments is taken by something that is not read.
  const operands = [dy, x, mean, inverse, scale, addend ?? dy];
  const results = [dx, scaleSums, offsetSums, columnSums ?? columnOf(x)];
  context.own('layerNormGradient', operands, results, [...extentsOf(x), addend ? 1 : 0]);
};

/** With n = (x − mean) · r and g = dy · γ: dx = r · (g − mean(g) − n · mean(g · n)); row means are products with γ. */
const plainLayerNormGradient: KernelRule = ({ inputs, outputs }, context) => {
  const { dy, x, mean, inverse, scale, addend } = inputs;
  const [dx, scaleSums, offsetSums, columnSums] = outputs;
  const [rows, width] = extentsOf(x);
  const matrix = (value: Value, columns: number) => context.reshape(context.plain(value), [rows, columns]);
  const slopes = matrix(dy, width);
  const normal = context.op('Mul', [context.op('Sub', [matrix(x, width), matrix(mean, 1)]), matrix(inverse, 1)]);
  const products = context.op('Mul', [slopes, normal]);
  const column = context.op('Mul', [context.reshape(context.plain(scale), [width, 1]), context.scalar(1 / width)]);
  const [meanSlope, meanProduct] = [slopes, products].map((factor) => context.op('Gemm', [factor, column]));
  const direct = context.op('Sub', [context.op('Mul', [slopes, context.plain(scale)]), meanSlope]);
  const rest = context.op('Sub', [direct, context.op('Mul', [normal, meanProduct])]);
  const slope = context.reshape(context.op('Mul', [rest, matrix(inverse, 1)]), dx.shape);
  const passed = addend && context.reshape(context.plain(addend), dx.shape);
  context.set(dx, 'plain', passed ? context.op('Add', [passed, slope]) : slope);
  context.set(scaleSums, 'plain', context.sum(products, [0]));
  context.set(offsetSums, 'plain', context.sum(slopes, [0]));
  if (columnSums) context.set(columnSums, 'plain', sumOfColumns(context, dx));
};

const softmaxGradient: KernelRule = ({ inputs: { dy, y }, outputs: [dx] }, context) => {
  if (context.paysAsKernel(y)) return context.own('softmaxGradient', [dy, y], [dx], extentsOf(y));
  const [slopes, values] = [context.plain(dy), context.plain(y)];
  const products = context.op('Mul', [slopes, values]);
  const sums = context.sum(products, [y.shape.length - 1], true);
  context.set(dx, 'plain', context.op('Sub', [products, context.op('Mul', [sums, values])]));
};

const crossEntropy: KernelRule = ({ inputs: { logits, labels }, outputs }, context) => {
  if (context.paysAsKernel(logits)) return context.own('crossEntropy', [logits, labels], outputs, extentsOf(logits));
  const [losses, largests, inverses, likeliest] = outputs;
  const axis = logits.shape.length - 1;
  const x = context.plain(logits);
  const largest = context.op('ReduceMax', [x, context.onnx.integers([axis])], { keepdims: 1 });
  const shifted = context.op('Sub', [x, largest]);
  const sum = context.sum(context.op('Exp', [shifted]), [axis], true);
  const surprise = context.op('Sub', [context.op('Log', [sum]), shifted]);
  const wanted = context.op('Mul', [oneHotOf(context, logits, labels), surprise]);
  context.set(losses, 'plain', context.sum(wanted, [axis]));
  context.set(largests, 'plain', context.reshape(largest, largests.shape));
  const inverse = context.op('Div', [context.scalar(1), sum]);
  context.set(inverses, 'plain', context.reshape(inverse, inverses.shape));
  context.set(likeliest, 'plain', context.cast(context.op('ArgMax', [x], { axis, keepdims: 0 }), 'int32'));
};

const crossEntropyGradient: KernelRule = ({ inputs, outputs: [dx] }, context) => {
  const { logits, labels, largest, inverse, dy } = inputs;
  if (context.paysAsKernel(logits)) {
    return context.own('crossEntropyGradient', [logits, labels, largest, inverse, dy], [dx], extentsOf(logits));
  }
  const column = (value: Value) => context.reshape(context.plain(value), [...value.shape, 1]);
  const axis = logits.shape.length - 1;
  const wanted = oneHotOf(context, logits, labels);
  // 1 for a label that there is, 0 otherwise.
  const mass = context.sum(wanted, [axis], true);
  const powers = context.op('Exp', [context.op('Sub', [context.plain(logits), column(largest)])]);
  const softmax = context.op('Mul', [powers, context.op('Mul', [column(inverse), mass])]);
  context.set(dx, 'plain', context.op('Mul', [column(dy), context.op('Sub', [softmax, wanted])]));
};

function oneHotOf(context: LowerContext, logits: Value, labels: Value): Name {
  const classes = logits.shape.at(-1) as number;
  const ramp = Array.from({ length: classes }, (_, index) => index);
  const column = context.reshape(context.plain(labels), [...labels.shape, 1]);
  const names = context.once(`ramp ${classes}`, () => context.onnx.constant('int32', ramp, [classes]));
  return context.cast(context.op('Equal', [column, names]), 'float32');
}

const APART = [2, 0, 3, 1, 4];
const TOGETHER = [1, 3, 0, 2, 4];

const splitHeads: KernelRule = ({ inputs: { joined }, attrs, outputs }, context) => {
  const { count, length, heads, depth } = attrs as unknown as HeadsAttrs;
  if (movesWhole(depth) && context.paysAsKernel(joined)) {
    const isBanded = context.isBanded(joined) && fillsBands(context, depth);
    const scalars = [count, length, heads, depth, bandOf(context, columnsOf(joined), isBanded)];
    return context.own('splitHeads', [joined], outputs, scalars, isBanded ? [joined] : []);
  }
  const rows = context.reshape(context.plain(joined), [count, length, 3, heads, depth]);
  const parts = context.onnx.ops('Split', [context.transpose(rows, APART), context.onnx.integers([1, 1, 1])], 3, {
    axis: 0,
  });
  outputs.forEach((out, index) => {
    context.set(out, 'plain', parts[index]);
  });
};

/** Joined in bands where the products that read them want bands. */
const joinHeads: KernelRule = ({ inputs: { queries, keys, values }, attrs, outputs }, context) => {
  const [joined, columnSums] = outputs;
  const { count, length, heads, depth } = attrs as unknown as HeadsAttrs;
  if (movesWhole(depth) && context.paysAsKernel(joined)) {
    const isBanded =
      fillsBands(context, depth) && paysInBands(context, count * length, columnsOf(joined), heads * depth);
    const scalars = [count, length, heads, depth, bandOf(context, columnsOf(joined), isBanded)];
    const results = [joined, columnSums ?? columnOf(joined)];
    return context.own('joinHeads', [queries, keys, values], results, scalars, isBanded ? [joined] : []);
  }
  const parts = [queries, keys, values].map((value) => context.plain(value));
  const together = context.transpose(context.op('Concat', parts, { axis: 0 }), TOGETHER);
  context.set(joined, 'plain', context.reshape(together, joined.shape));
  if (columnSums) context.set(columnSums, 'plain', sumOfColumns(context, joined));
};

/** The kernels move whole vectors of four elements: no head may share one with the next. */
const movesWhole = (depth: number): boolean => depth % 4 === 0;

/** A head must not share a band with another one. */
const fillsBands = ({ bandColumns }: LowerContext, depth: number): boolean =>
  bandColumns !== undefined && depth % bandColumns === 0;

/** What a kernel is told about the order of its rows. */
const bandOf = ({ bandColumns }: LowerContext, columns: number, isBanded: boolean): number =>
  isBanded && bandColumns !== undefined ? bandColumns : columns;

/** Where a kernel puts sums that nobody asked for. */
const columnOf = ({ shape, dtype }: Value): OwnOutput => ({ shape: shape.slice(-1), dtype });

function sumOfColumns(context: LowerContext, x: Value): Name {
  const axes = x.shape.slice(0, -1).map((_, axis) => axis);
  return context.sum(context.plain(x), axes);
}

/** Rows, and elements of one: the last axis. */
function extentsOf(value: Value): [number, number] {
  return [rowsOf(value), columnsOf(value)];
}

export const fusedRules: KernelRules = {
  GeluGradient: geluGradient,
  LayerNormGradient: layerNormGradient,
  SoftmaxGradient: softmaxGradient,
  CrossEntropy: crossEntropy,
  CrossEntropyGradient: crossEntropyGradient,
  SplitHeads: splitHeads,
  JoinHeads: joinHeads,
};
