/** Gradient of a convolution by its input. */
import { BLOCKED } from '../../onnx/builder.js';
import type { tf } from '../../tensors.js';
import type { Value } from '../../trace/graph.js';
import type { KernelRule, LowerContext } from '../context.js';
import { convolutionInfo, isUndilated, isUnitStride, outputPadding } from '../geometry.js';
import { blockedTurnedFilter, filterOIHW } from './filters.js';
import { type ConvolutionInfo, windowAttributes } from './forward.js';
import { hasEvenPhases, phasedInputGradient } from './input-gradient-strided.js';
import { minimalInputGradient, paysMinimal } from './winograd.js';

interface InputGradientAttrs extends tf.Conv2DBackpropInputAttrs {
  inputShape: [number, number, number, number];
}

export const convolutionInputGradient: KernelRule = ({ inputs: { dy, filter }, attrs, outputs: [out] }, context) => {
  const window = attrs as unknown as InputGradientAttrs;
  const info = convolutionInfo(window.inputShape, filter.shape, { ...window, dilations: 1 }, false);
  if (paysMinimal(context, info)) {
    return context.set(out, 'blocked', minimalInputGradient(context, info, dy, filter));
  }
  if (context.canBlock(dy) && context.canBlock(out) && isUndilated(info)) {
    if (isUnitStride(info)) return convolveTurned(context, info, dy, filter, out);
    if (hasEvenPhases(info)) return context.set(out, 'blocked', phasedInputGradient(context, info, dy, filter));
  }
  const gradient = context.op('ConvTranspose', [context.nchw(dy), filterOIHW(context, filter)], {
    ...windowAttributes(info),
    output_padding: outputPadding(info),
  });
  context.set(out, 'nchw', gradient);
};

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
