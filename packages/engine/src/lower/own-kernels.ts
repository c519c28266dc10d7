/** Kernels of our own: what ONNX Runtime computes in one go. */
import { BLOCKED, float, MICROSOFT } from '../onnx/builder.js';
import type { KernelRule, KernelRules } from './context.js';
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

export const ownRules: KernelRules = { ChannelAffine: channelAffine, LayerNorm: layerNorm, Gelu: gelu };
