/** Kernels of our own: what ONNX Runtime computes in one go. */
import { sizeOfShape } from '@coord/protocol';
import { BLOCKED, float, MICROSOFT, type Name } from '../onnx/builder.js';
import type { Value } from '../trace/graph.js';
import type { KernelRule, KernelRules, LowerContext, OwnOutput } from './context.js';
import { elementwise } from './elementwise.js';

/** In the blocked layout a depthwise 1×1 convolution is the quickest way, and takes an addend and a relu along. */
const channelAffine: KernelRule = ({ inputs: { x, scale, shift, addend }, attrs, outputs: [out] }, context) => {
  const isRelu = attrs.activation === 'relu';
  if (context.has(x, 'blocked') && context.canBlock(out)) {
    const channels = out.shape[3];
    const filter = context.reshape(context.plain(scale), [channels, 1, 1, 1]);
    const operands = [context.blocked(x), filter, context.plain(shift), ...(addend ? [context.blocked(addend)] : [])];
    const attributes = { kernel_shape: [1, 1], group: channels, ...(isRelu ? { activation: 'Relu' } : {}) };
    context.set(out, 'blocked', context.op('Conv', operands, attributes, BLOCKED));
    return;
  }
  elementwise(context, out, addend ? [x, scale, shift, addend] : [x, scale, shift], (source, factor, term, more) => {
    const sum = context.op('Add', [context.op('Mul', [source, factor]), term]);
    const all = more === undefined ? sum : context.op('Add', [sum, more]);
    return isRelu ? context.op('Relu', [all]) : all;
  });
};

const layerNorm: KernelRule = ({ inputs: { x, scale, offset }, attrs, outputs }, context) => {
  const operands = [x, scale, offset].map((value) => context.plain(value));
  const names = context.onnx.ops('LayerNormalization', operands, 3, {
    axis: -1,
    epsilon: float(attrs.epsilon as number),
  });
  outputs.forEach((out, index) => {
    context.set(out, 'plain', names[index]);
  });
};

const gelu: KernelRule = ({ inputs: { x }, outputs: [out] }, context) =>
  elementwise(context, out, [x], (name) => context.op('Gelu', [name], {}, MICROSOFT));

const geluGradient: KernelRule = ({ inputs: { x, dy }, outputs }, context) => {
  const [dx, columnSums] = outputs;
  if (context.paysAsKernel(x)) {
    return context.own('geluGradient', [x, dy], [dx, columnSums ?? columnOf(x)], rowsOf(x));
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

/** Where a kernel puts sums that nobody asked for. */
const columnOf = ({ shape, dtype }: Value): OwnOutput => ({ shape: shape.slice(-1), dtype });

function sumOfColumns(context: LowerContext, x: Value): Name {
  const axes = x.shape.slice(0, -1).map((_, axis) => axis);
  return context.sum(context.plain(x), axes);
}

/** Rows, and elements of one: the last axis. */
function rowsOf({ shape }: Value): [number, number] {
  const width = shape.at(-1) ?? 1;
  return [sizeOfShape(shape) / width, width];
}

export const ownRules: KernelRules = {
  ChannelAffine: channelAffine,
  LayerNorm: layerNorm,
  Gelu: gelu,
  GeluGradient: geluGradient,
};
