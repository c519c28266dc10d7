/** Pooling and its gradients. */

import { sizeOfShape } from '@coord/protocol';
import { BLOCKED, type Name } from '../onnx/builder.js';
import type { tf } from '../tensors.js';
import type { Value } from '../trace/graph.js';
import type { KernelRule, KernelRules, LowerContext } from './context.js';
import { elementwise, positiveMask } from './elementwise.js';
import { isPadded, outputPadding, padsOf, poolInfo } from './geometry.js';

type PoolInfo = ReturnType<typeof poolInfo>;

const windowOf = (info: PoolInfo) => ({
  kernel_shape: [info.filterHeight, info.filterWidth],
  strides: [info.strideHeight, info.strideWidth],
  pads: padsOf(info),
});

const infoOf = (x: Value, attrs: unknown): PoolInfo => poolInfo(x.shape, attrs as tf.MaxPoolAttrs);

const maxPool: KernelRule = ({ inputs: { x }, attrs, outputs: [out] }, context) => {
  const attributes = windowOf(infoOf(x, attrs));
  if (context.has(x, 'blocked')) {
    return context.set(out, 'blocked', context.op('MaxPool', [context.blocked(x)], attributes, BLOCKED));
  }
  context.set(out, 'nchw', context.op('MaxPool', [context.nchw(x)], attributes));
};

/** Windows that neither overlap nor leave gaps: each input belongs to one output at most. */
const tilesInput = (info: PoolInfo): boolean =>
  info.filterHeight === info.strideHeight && info.filterWidth === info.strideWidth && !isPadded(info);

/**
 * In one pass where that pays. Otherwise, where windows tile the input, its gradient is dy spread over each window, masked by "is
 * the first that equals the maximum". Ties are common: flat areas of an image make whole windows equal.
 */
const maxPoolGrad: KernelRule = ({ inputs: { dy, input, output }, attrs, outputs: [out] }, context) => {
  const info = infoOf(input, attrs);
  const isMasked = attrs.isMasked === true;
  if (context.has(input, 'blocked') && context.canBlock(dy) && context.paysAsKernel(input)) {
    const { kernel, scalars } = kernelFor(info, context.blockSize as number);
    const values = [input, output, dy];
    return context.own(kernel, values, [out], [...scalars, isMasked ? 1 : 0], [...values, out], 'blocked');
  }
  const slopes = isMasked ? masked(context, dy, output) : dy;
  const gradient = tilesInput(info)
    ? spread(context, info, input, output, slopes)
    : scattered(context, info, input, slopes);
  context.set(out, 'nchw', gradient);
};

function kernelFor(info: PoolInfo, block: number): { kernel: string; scalars: number[] } {
  const { inHeight, inWidth, filterHeight, filterWidth, strideHeight, strideWidth, padInfo } = info;
  const planes = (info.batchSize * info.inChannels) / block;
  const image = [planes, inHeight, inWidth, Float32Array.BYTES_PER_ELEMENT * block];
  if (tilesInput(info) && filterHeight === 2 && filterWidth === 2)
    return { kernel: 'maxPoolGradient2x2', scalars: image };
  const windows = [info.outHeight, info.outWidth, filterHeight, filterWidth, strideHeight, strideWidth];
  return { kernel: 'maxPoolGradient', scalars: [...image, ...windows, padInfo.top, padInfo.left] };
}

/** dy where the maximum is positive, else 0. */
function masked(context: LowerContext, dy: Value, output: Value): Value {
  // A value of its own, though no node of the graph makes it.
  const product: Value = { ...dy, kind: 'result' };
  elementwise(context, product, [dy, output], (slope, maximum) =>
    context.op('Mul', [slope, positiveMask(context, maximum)]),
  );
  return product;
}

function spread(context: LowerContext, info: PoolInfo, input: Value, output: Value, dy: Value): Name {
  const { inHeight, inWidth, outHeight, outWidth, filterHeight, filterWidth } = info;
  const [height, width] = [outHeight * filterHeight, outWidth * filterWidth];
  const x = isWhole(info) ? context.nchw(input) : context.slice(context.nchw(input), [0, 0], [height, width], [2, 3]);
  const enlarged = enlarger(context, info);
  const isMaximum = context.cast(context.op('Equal', [x, enlarged(context.nchw(output))]), 'float32');
  const ranks = context.op('Mul', [isMaximum, ranksOf(context, info)]);
  const highest = context.op('MaxPool', [ranks], windowOf(info));
  const isFirst = context.cast(context.op('Equal', [ranks, enlarged(highest)]), 'float32');
  const slopes = context.op('Mul', [isMaximum, enlarged(context.nchw(dy))]);
  const gradient = context.op('Mul', [isFirst, slopes]);
  return isWhole(info) ? gradient : context.pad(gradient, [0, 0, 0, 0], [0, 0, inHeight - height, inWidth - width]);
}

/** Repeats each pixel over a window, channels first. */
function enlarger(context: LowerContext, { filterHeight, filterWidth }: PoolInfo): (name: Name) => Name {
  const scales = context.onnx.constant('float32', [1, 1, filterHeight, filterWidth], [4]);
  const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
  return (name) => context.op('Resize', [name, '', scales], attributes);
}

/** The places of each window counted down, so that its first has the highest number. */
function ranksOf(context: LowerContext, { outHeight, outWidth, filterHeight, filterWidth }: PoolInfo): Name {
  const places = filterHeight * filterWidth;
  const ranks = Array.from({ length: places }, (_, at) => places - at);
  const window = context.onnx.constant('float32', ranks, [1, 1, filterHeight, filterWidth]);
  return context.op('Tile', [window, context.onnx.integers([1, 1, outHeight, outWidth])]);
}

/** False when rows or columns at the end belong to no window. */
const isWhole = (info: PoolInfo): boolean =>
  info.outHeight * info.filterHeight === info.inHeight && info.outWidth * info.filterWidth === info.inWidth;

/** Overlapping windows: ONNX names the place of each maximum, and the gradients are added there. */
function scattered(context: LowerContext, info: PoolInfo, input: Value, dy: Value): Name {
  const [, places] = context.onnx.ops('MaxPool', [context.nchw(input)], 2, windowOf(info));
  const zeros = context.filled(0, 'float32', [sizeOfShape(input.shape)]);
  const flat = (name: Name) => context.reshape(name, [-1]);
  const sums = context.op('ScatterElements', [zeros, flat(places), flat(context.nchw(dy))], {
    axis: 0,
    reduction: 'add',
  });
  return context.reshape(sums, [info.batchSize, info.inChannels, info.inHeight, info.inWidth]);
}

const averagePool: KernelRule = ({ inputs: { x }, attrs, outputs: [out] }, context) => {
  const attributes = { ...windowOf(infoOf(x, attrs)), count_include_pad: 0 };
  context.set(out, 'nchw', context.op('AveragePool', [context.nchw(x)], attributes));
};

/** tfjs divides by the whole window even where part of it is padding. */
const averagePoolGrad: KernelRule = ({ inputs: { dy, input }, attrs, outputs: [out] }, context) => {
  const info = infoOf(input, attrs);
  const { filterHeight, filterWidth, inChannels } = info;
  const share = context.filled(1 / (filterHeight * filterWidth), 'float32', [inChannels, 1, filterHeight, filterWidth]);
  const gradient = context.op('ConvTranspose', [context.nchw(dy), share], {
    ...windowOf(info),
    output_padding: outputPadding(info),
    group: inChannels,
  });
  context.set(out, 'nchw', gradient);
};

export const poolingRules: KernelRules = {
  MaxPool: maxPool,
  MaxPoolGrad: maxPoolGrad,
  AvgPool: averagePool,
  AvgPoolGrad: averagePoolGrad,
};
