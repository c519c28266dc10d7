/**
 * Convolutions and pools of three dimensions. Values of rank 5 exist in tfjs's order (NDHWC) alone, so each of these
 * transposes what it takes and gives.
 */
import { sizeOfShape } from '@coord/protocol';
import type { Attributes, Name } from '../onnx/builder.js';
import type { tf } from '../tensors.js';
import type { Value } from '../trace/graph.js';
import type { KernelRule, KernelRules, LowerContext } from './context.js';
import { convolutionInfo3D, poolInfo3D, type VolumeInfo } from './geometry.js';

/** NDHWC → NCDHW. */
const channelsFirst = (context: LowerContext, value: Value): Name =>
  context.transpose(context.plain(value), [0, 4, 1, 2, 3]);

/** Sets `out` from a result in NCDHW. */
const setChannelsLast = (context: LowerContext, out: Value, name: Name): void =>
  context.set(out, 'plain', context.transpose(name, [0, 2, 3, 4, 1]));

/** [out, in, depth, height, width]; tfjs's filters are [depth, height, width, in, out]. */
const filterFirst = (context: LowerContext, filter: Value): Name =>
  context.transpose(context.plain(filter), [4, 3, 0, 1, 2]);

const windowOf = (info: VolumeInfo): number[] => [info.filterDepth, info.filterHeight, info.filterWidth];
const stridesOf = (info: VolumeInfo): number[] => [info.strideDepth, info.strideHeight, info.strideWidth];
const dilationsOf = (info: VolumeInfo): number[] => [info.dilationDepth, info.dilationHeight, info.dilationWidth];
const inputOf = (info: VolumeInfo): number[] => [info.inDepth, info.inHeight, info.inWidth];
const outputOf = (info: VolumeInfo): number[] => [info.outDepth, info.outHeight, info.outWidth];

/** ONNX's `pads`: before each axis, then after each. */
function padsOf({ padInfo: { front, top, left, back, bottom, right } }: VolumeInfo): number[] {
  return [front, top, left, back, bottom, right];
}

const poolAttributes = (info: VolumeInfo): Attributes => ({
  kernel_shape: windowOf(info),
  strides: stridesOf(info),
  pads: padsOf(info),
});

const convolutionAttributes = (info: VolumeInfo): Attributes => ({
  ...poolAttributes(info),
  dilations: dilationsOf(info),
});

/** What a transposed convolution must add at the end of each axis to have the input's size again. */
function outputPadding(info: VolumeInfo): number[] {
  const [out, strides, window, dilations, pads] = [
    outputOf(info),
    stridesOf(info),
    windowOf(info),
    dilationsOf(info),
    padsOf(info),
  ];
  return inputOf(info).map((extent, axis) => {
    const covered = (out[axis] - 1) * strides[axis] + (window[axis] - 1) * dilations[axis] + 1;
    return extent + pads[axis] + pads[axis + 3] - covered;
  });
}

const convolution: KernelRule = ({ inputs: { x, filter }, attrs, outputs: [out] }, context) => {
  const info = convolutionInfo3D(x.shape, filter.shape, attrs as unknown as tf.Conv3DAttrs);
  const operands = [channelsFirst(context, x), filterFirst(context, filter)];
  setChannelsLast(context, out, context.op('Conv', operands, convolutionAttributes(info)));
};

const inputGradient: KernelRule = ({ inputs: { dy, filter }, attrs, outputs: [out] }, context) => {
  const info = convolutionInfo3D(out.shape, filter.shape, attrs as unknown as tf.Conv3DBackpropInputV2Attrs);
  const operands = [channelsFirst(context, dy), filterFirst(context, filter)];
  const attributes = { ...convolutionAttributes(info), output_padding: outputPadding(info) };
  setChannelsLast(context, out, context.op('ConvTranspose', operands, attributes));
};

/** A convolution with the batch as channels; strides and dilations change places. */
const filterGradient: KernelRule = ({ inputs: { x, dy }, attrs, outputs: [out] }, context) => {
  const info = convolutionInfo3D(x.shape, out.shape, attrs as unknown as tf.Conv3DBackpropFilterV2Attrs);
  const batchAsChannels = (value: Value) => context.transpose(context.plain(value), [4, 0, 1, 2, 3]);
  const gradient = context.op('Conv', [batchAsChannels(x), batchAsChannels(dy)], {
    kernel_shape: outputOf(info),
    dilations: stridesOf(info),
    strides: dilationsOf(info),
    pads: padsOf(info),
  });
  // Places that no window reached make it too large by a few.
  const cut = context.slice(gradient, [0, 0, 0], windowOf(info), [2, 3, 4]);
  context.set(out, 'plain', context.transpose(cut, [2, 3, 4, 0, 1]));
};

const infoOf = (x: Value, attrs: unknown): VolumeInfo => poolInfo3D(x.shape, attrs as tf.MaxPool3DAttrs);

const maxPool: KernelRule = ({ inputs: { x }, attrs, outputs: [out] }, context) =>
  setChannelsLast(context, out, context.op('MaxPool', [channelsFirst(context, x)], poolAttributes(infoOf(x, attrs))));

/** ONNX names the place of each maximum, and the gradients are added there. */
const maxPoolGrad: KernelRule = ({ inputs: { dy, input }, attrs, outputs: [out] }, context) => {
  const info = infoOf(input, attrs);
  const [, places] = context.onnx.ops('MaxPool', [channelsFirst(context, input)], 2, poolAttributes(info));
  const zeros = context.filled(0, 'float32', [sizeOfShape(input.shape)]);
  const operands = [zeros, context.reshape(places, [-1]), context.reshape(channelsFirst(context, dy), [-1])];
  const sums = context.op('ScatterElements', operands, { axis: 0, reduction: 'add' });
  setChannelsLast(context, out, context.reshape(sums, [info.batchSize, info.inChannels, ...inputOf(info)]));
};

const averagePool: KernelRule = ({ inputs: { x }, attrs, outputs: [out] }, context) => {
  const attributes = { ...poolAttributes(infoOf(x, attrs)), count_include_pad: 0 };
  setChannelsLast(context, out, context.op('AveragePool', [channelsFirst(context, x)], attributes));
};

/** tfjs divides by the whole window even where part of it is padding. */
const averagePoolGrad: KernelRule = ({ inputs: { dy, input }, attrs, outputs: [out] }, context) => {
  const info = infoOf(input, attrs);
  const share = context.filled(1 / sizeOfShape(windowOf(info)), 'float32', [info.inChannels, 1, ...windowOf(info)]);
  const gradient = context.op('ConvTranspose', [channelsFirst(context, dy), share], {
    ...poolAttributes(info),
    output_padding: outputPadding(info),
    group: info.inChannels,
  });
  setChannelsLast(context, out, gradient);
};

export const volumeRules: KernelRules = {
  Conv3D: convolution,
  Conv3DBackpropInputV2: inputGradient,
  Conv3DBackpropFilterV2: filterGradient,
  MaxPool3D: maxPool,
  MaxPool3DGrad: maxPoolGrad,
  AvgPool3D: averagePool,
  AvgPool3DGrad: averagePoolGrad,
};
