/** Convolution, with bias and relu where a pass has fused them. */
import { type Attributes, BLOCKED, type Name } from '../../onnx/builder.js';
import type { tf } from '../../tensors.js';
import type { Node, Value } from '../../trace/graph.js';
import { activated } from '../activation.js';
import type { KernelRule, LowerContext } from '../context.js';
import { convolutionInfo, padsOf } from '../geometry.js';
import { blockedFilter, filterOIHW } from './filters.js';
import { minimalConvolution, paysMinimal } from './winograd.js';

export type ConvolutionInfo = ReturnType<typeof convolutionInfo>;

export const windowAttributes = (info: ConvolutionInfo): Attributes => ({
  kernel_shape: [info.filterHeight, info.filterWidth],
  strides: [info.strideHeight, info.strideWidth],
  dilations: [info.dilationHeight, info.dilationWidth],
  pads: padsOf(info),
});

/** Output channels must fill blocks; input channels too, or fit into one (images). */
function canConvolveBlocked(context: LowerContext, filter: Value): boolean {
  const block = context.blockSize;
  if (block === undefined) return false;
  const [, , channelsIn, channelsOut] = filter.shape;
  return channelsOut % block === 0 && (channelsIn % block === 0 || channelsIn < block);
}

/** Blocked convolutions apply relu as they store. */
const isRelu = (node: Node): boolean => node.attrs.activation === 'relu';

export const convolution: KernelRule = (node, context) => {
  const { x, filter, bias } = node.inputs;
  const [out] = node.outputs;
  const info = convolutionInfo(x.shape, filter.shape, node.attrs as unknown as tf.Conv2DAttrs, false);
  const addends: Name[] = bias ? [context.plain(bias)] : [];
  if (paysMinimal(context, info)) {
    return context.set(out, 'blocked', activated(context, minimalConvolution(context, info, node.inputs), node));
  }
  if (canConvolveBlocked(context, filter)) {
    const source = context.canBlock(x) ? context.blocked(x) : context.nchw(x);
    const fused: Attributes = isRelu(node) ? { activation: 'Relu' } : {};
    const operands = [source, blockedFilter(context, filter), ...addends];
    const sum = context.op('Conv', operands, { ...windowAttributes(info), ...fused }, BLOCKED);
    return context.set(out, 'blocked', isRelu(node) ? sum : activated(context, sum, node));
  }
  const operands = [context.nchw(x), filterOIHW(context, filter), ...addends];
  context.set(out, 'nchw', activated(context, context.op('Conv', operands, windowAttributes(info)), node));
};
