/** Gradient of a convolution by its input. */
import { BLOCKED } from '../../onnx/builder.js';
import type { tf } from '../../tensors.js';
import type { Value } from '../../trace/graph.js';
import type { KernelRule, LowerContext } from '../context.js';
import { convolutionInfo, isUndilated, isUnitStride, outputPadding } from '../geometry.js';
import { blockedTurnedFilter, filterOIHW } from './filters.js';
import { type ConvolutionInfo, windowAttributes } from './forward.js';

interface InputGradientAttrs extends tf.Conv2DBackpropInputAttrs {
  inputShape: [number, number, number, number];
}

export const convolutionInputGradient: KernelRule = ({ inputs: { dy, filter }, attrs, outputs: [out] }, context) => {
  const window = attrs as unknown as InputGradientAttrs;
  const info = convolutionInfo(window.inputShape, filter.shape, { ...window, dilations: 1 }, false);
  if (canUseTurnedFilter(context, info, dy, out)) return convolveTurned(context, info, dy, filter, out);
  const gradient = context.op('ConvTranspose', [context.nchw(dy), filterOIHW(context, filter)], {
    ...windowAttributes(info),
    output_padding: outputPadding(info),
  });
  context.set(out, 'nchw', gradient);
};

const canUseTurnedFilter = (context: LowerContext, info: ConvolutionInfo, dy: Value, out: Value): boolean =>
  context.canBlock(dy) && context.canBlock(out) && isUnitStride(info) && isUndilated(info);

/** At stride 1 it is a convolution of dy with the filter turned by 180°. */
function convolveTurned(context: LowerContext, info: ConvolutionInfo, dy: Value, filter: Value, out: Value): void {
  const { filterHeight, filterWidth, padInfo } = info;
  const pads = [
    filterHeight - 1 - padInfo.top,
    filterWidth - 1 - padInfo.left,
    filterHeight - 1 - padInfo.bottom,
    filterWidth - 1 - padInfo.right,
  ];
  const operands = [context.blocked(dy), blockedTurnedFilter(context, filter)];
  const attributes = { kernel_shape: [filterHeight, filterWidth], pads };
  context.set(out, 'blocked', context.op('Conv', operands, attributes, BLOCKED));
}
