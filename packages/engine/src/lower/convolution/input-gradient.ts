/** Gradient of a convolution by its input. */
import { BLOCKED, type Name } from '../../onnx/builder.js';
import type { tf } from '../../tensors.js';
import type { Value } from '../../trace/graph.js';
import type { Form, KernelRule, LowerContext } from '../context.js';
import { elementwise } from '../elementwise.js';
import { convolutionInfo, isUndilated, isUnitStride, outputPadding } from '../geometry.js';
import { blockedTurnedFilter, filterOIHW } from './filters.js';
import { type ConvolutionInfo, windowAttributes } from './forward.js';
import { hasEvenPhases, phasedInputGradient } from './input-gradient-strided.js';
import { minimalInputGradient, paysMinimal } from './winograd.js';

interface InputGradientAttrs extends tf.Conv2DBackpropInputAttrs {
  inputShape: [number, number, number, number];
}

export const convolutionInputGradient: KernelRule = ({ inputs, attrs, outputs: [out] }, context) => {
  const { dy, filter, addend } = inputs;
  const window = attrs as unknown as InputGradientAttrs;
  const info = convolutionInfo(window.inputShape, filter.shape, { ...window, dilations: 1 }, false);
  if (turns(context, info, dy, out)) {
    const sum = convolvedTurned(context, info, dy, filter, addend && context.blocked(addend));
    return context.set(out, 'blocked', sum);
  }
  if (!addend) return context.set(out, ...gradientOf(context, info, dy, filter, out));
  const gradient = { ...out };
  context.set(gradient, ...gradientOf(context, info, dy, filter, out));
  elementwise(context, out, [gradient, addend], (a, b) => context.op('Add', [a, b]));
};

/** Whether the gradient is a blocked convolution of dy at stride 1. */
const turns = (context: LowerContext, info: ConvolutionInfo, dy: Value, out: Value): boolean =>
  context.canBlock(dy) &&
  context.canBlock(out) &&
  isUndilated(info) &&
  isUnitStride(info) &&
  !paysMinimal(context, info);

function gradientOf(
  context: LowerContext,
  info: ConvolutionInfo,
  dy: Value,
  filter: Value,
  out: Value,
): [form: Form, name: Name] {
  if (paysMinimal(context, info)) return ['blocked', minimalInputGradient(context, info, dy, filter)];
  const isBlocked = context.canBlock(dy) && context.canBlock(out) && isUndilated(info);
  if (isBlocked && hasEvenPhases(info)) return ['blocked', phasedInputGradient(context, info, dy, filter)];
  const attributes = { ...windowAttributes(info), output_padding: outputPadding(info) };
  return ['nchw', context.op('ConvTranspose', [context.nchw(dy), filterOIHW(context, filter)], attributes)];
}

/** At stride 1 it is a convolution of dy with the filter turned by 180°, which takes an addend along. */
function convolvedTurned(
  context: LowerContext,
  info: ConvolutionInfo,
  dy: Value,
  filter: Value,
  addend: Name | undefined,
): Name {
  const { filterHeight, filterWidth, padInfo } = info;
  const pads = [
    filterHeight - 1 - padInfo.top,
    filterWidth - 1 - padInfo.left,
    filterHeight - 1 - padInfo.bottom,
    filterWidth - 1 - padInfo.right,
  ];
  const operands = [context.blocked(dy), blockedTurnedFilter(context, filter), ...(addend ? ['', addend] : [])];
  return context.op('Conv', operands, { kernel_shape: [filterHeight, filterWidth], pads }, BLOCKED);
}
