/** Depthwise convolutions: each input channel has `multiplier` filters of its own. tfjs's filters are [height, width, channels, multiplier]. */
import type { Name } from '../../onnx/builder.js';
import type { tf } from '../../tensors.js';
import type { Value } from '../../trace/graph.js';
import { activated } from '../activation.js';
import type { KernelRule, KernelRules, LowerContext } from '../context.js';
import { convolutionInfo, outputPadding } from '../geometry.js';
import { type ConvolutionInfo, windowAttributes } from './forward.js';

const infoOf = (x: readonly number[], filter: readonly number[], attrs: unknown): ConvolutionInfo =>
  convolutionInfo(x, filter, attrs as tf.Conv2DAttrs, true);

/** [channels · multiplier, 1, height, width] */
function groupedFilter(context: LowerContext, filter: Value): Name {
  const [height, width, channels, multiplier] = filter.shape;
  const ordered = context.transpose(context.plain(filter), [2, 3, 0, 1]);
  return context.reshape(ordered, [channels * multiplier, 1, height, width]);
}

const forward: KernelRule = (node, context) => {
  const { x, filter, bias } = node.inputs;
  const info = infoOf(x.shape, filter.shape, node.attrs);
  const addends = bias ? [context.plain(bias)] : [];
  const operands = [context.nchw(x), groupedFilter(context, filter), ...addends];
  const sum = context.op('Conv', operands, { ...windowAttributes(info), group: info.inChannels });
  context.set(node.outputs[0], 'nchw', activated(context, sum, node));
};

const inputGradient: KernelRule = ({ inputs: { dy, filter }, attrs, outputs: [out] }, context) => {
  const info = infoOf(out.shape, filter.shape, attrs);
  const gradient = context.op('ConvTranspose', [context.nchw(dy), groupedFilter(context, filter)], {
    ...windowAttributes(info),
    output_padding: outputPadding(info),
    group: info.inChannels,
  });
  context.set(out, 'nchw', gradient);
};

/** One product and sum for each place of the filter; there are few, and no convolution computes this. */
const filterGradient: KernelRule = ({ inputs: { x, dy }, attrs, outputs: [out] }, context) => {
  const info = infoOf(x.shape, out.shape, attrs);
  const [, , channels, multiplier] = out.shape;
  const slopes = context.reshape(context.plain(dy), [
    info.batchSize,
    info.outHeight,
    info.outWidth,
    channels,
    multiplier,
  ]);
  const places: Name[] = [];
  for (let row = 0; row < info.filterHeight; row++) {
    for (let column = 0; column < info.filterWidth; column++) {
      const seen = context.reshape(seenFrom(context, info, x, row, column), [
        info.batchSize,
        info.outHeight,
        info.outWidth,
        channels,
        1,
      ]);
      const sum = context.sum(context.op('Mul', [seen, slopes]), [0, 1, 2]);
      places.push(context.reshape(sum, [1, channels, multiplier]));
    }
  }
  context.set(out, 'plain', context.reshape(context.op('Concat', places, { axis: 0 }), out.shape));
};

/** The inputs (NHWC) that one place of the filter meets, an output pixel each. */
function seenFrom(context: LowerContext, info: ConvolutionInfo, x: Value, row: number, column: number): Name {
  const { padInfo, strideHeight, strideWidth } = info;
  const before = [0, padInfo.top, padInfo.left, 0];
  const after = [0, padInfo.bottom, padInfo.right, 0];
  const padded = context.pad(context.plain(x), before, after);
  const starts = [row * info.dilationHeight, column * info.dilationWidth];
  const ends = [starts[0] + (info.outHeight - 1) * strideHeight + 1, starts[1] + (info.outWidth - 1) * strideWidth + 1];
  return context.slice(padded, starts, ends, [1, 2], [strideHeight, strideWidth]);
}

export const depthwiseRules: KernelRules = {
  DepthwiseConv2dNative: forward,
  FusedDepthwiseConv2D: forward,
  DepthwiseConv2dNativeBackpropInput: inputGradient,
  DepthwiseConv2dNativeBackpropFilter: filterGradient,
};
