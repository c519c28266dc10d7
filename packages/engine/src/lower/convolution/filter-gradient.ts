/** Gradient of a convolution by its filter: a correlation of input and output gradient over batch and pixels. */
import { BLOCKED, type Name } from '../../onnx/builder.js';
import type { tf } from '../../tensors.js';
import type { Value } from '../../trace/graph.js';
import type { KernelRule, LowerContext } from '../context.js';
import { convolutionInfo, isPadded, isUndilated, isUnitStride, padsOf } from '../geometry.js';
import type { ConvolutionInfo } from './forward.js';

interface FilterGradientAttrs extends tf.Conv2DBackpropFilterAttrs {
  filterShape: [number, number, number, number];
}

/** Up to this many rows, unfolded windows (im2col) times dy beat a convolution: first layers, on images. */
const MAX_UNFOLDED_ROWS = 32;

export const convolutionFilterGradient: KernelRule = ({ inputs: { x, dy }, attrs, outputs: [out] }, context) => {
  const window = attrs as unknown as FilterGradientAttrs;
  const info = convolutionInfo(x.shape, window.filterShape, { ...window, dilations: 1 }, false);
  context.set(out, 'plain', gradientOf(context, info, x, dy));
};

function gradientOf(context: LowerContext, info: ConvolutionInfo, x: Value, dy: Value): Name {
  const isSimple = isUnitStride(info) && isUndilated(info);
  const isNarrow = info.filterHeight * info.filterWidth * info.inChannels <= MAX_UNFOLDED_ROWS;
  if (isSimple && isNarrow)
    return context.canBlock(dy) ? unfoldedBlocked(context, info, x, dy) : unfolded(context, info, x, dy);
  const fillsBlocks =
    context.canBlock(x) && context.canBlock(dy) && info.batchSize % (context.blockSize as number) === 0;
  return fillsBlocks && isUndilated(info) ? correlatedBlocked(context, info, x, dy) : correlated(context, info, x, dy);
}

/** Windows of x as rows (filter row, filter column, channel), pixels as columns: [count, rows, pixels]. */
function windowsOf(context: LowerContext, info: ConvolutionInfo, x: Value): Name {
  const { filterHeight, filterWidth, inChannels, outHeight, outWidth, batchSize, padInfo } = info;
  const source = isPadded(info)
    ? context.pad(context.nchw(x), [0, 0, padInfo.top, padInfo.left], [0, 0, padInfo.bottom, padInfo.right])
    : context.nchw(x);
  const shifts: Name[] = [];
  for (let row = 0; row < filterHeight; row++) {
    for (let column = 0; column < filterWidth; column++) {
      shifts.push(context.slice(source, [row, column], [row + outHeight, column + outWidth], [2, 3]));
    }
  }
  const rows = filterHeight * filterWidth * inChannels;
  return context.reshape(context.op('Concat', shifts, { axis: 1 }), [batchSize, rows, outHeight * outWidth]);
}

function unfolded(context: LowerContext, info: ConvolutionInfo, x: Value, dy: Value): Name {
  const pixels = info.outHeight * info.outWidth;
  const slopes = context.reshape(context.nchw(dy), [info.batchSize, info.outChannels, pixels]);
  const products = context.op('FusedMatMul', [windowsOf(context, info, x), slopes], { transB: 1 }, 'com.microsoft');
  return context.reshape(context.sum(products, [0]), info.filterShape);
}

function unfoldedBlocked(context: LowerContext, info: ConvolutionInfo, x: Value, dy: Value): Name {
  const { batchSize, outChannels, filterHeight, filterWidth, inChannels } = info;
  const block = context.blockSize as number;
  const pixels = info.outHeight * info.outWidth;
  const rows = filterHeight * filterWidth * inChannels;
  const windows = context.reshape(windowsOf(context, info, x), [batchSize, 1, rows, pixels]);
  const slopes = context.reshape(context.blocked(dy), [batchSize, outChannels / block, pixels, block]);
  const sums = context.sum(context.op('MatMul', [windows, slopes]), [0]);
  return context.reshape(context.transpose(sums, [1, 0, 2]), info.filterShape);
}

/**
 * A blocked convolution with the batch as channels; strides become dilations. ReorderInput is by far the quickest
 * transposition there is. Padding is written out, since the kernel treats padded columns one by one, and here nearly every
 * column would be one.
 */
function correlatedBlocked(context: LowerContext, info: ConvolutionInfo, x: Value, dy: Value): Name {
  const { batchSize, inChannels, outHeight, outWidth, outChannels } = info;
  const block = context.blockSize as number;
  const slopes = context.reshape(context.blocked(dy), [
    batchSize / block,
    block,
    outChannels / block,
    outHeight,
    outWidth,
    block,
  ]);
  const filters = context.reshape(context.transpose(slopes, [2, 0, 3, 4, 1, 5]), [
    outChannels,
    batchSize,
    outHeight,
    outWidth,
  ]);
  const attributes = { kernel_shape: [outHeight, outWidth], dilations: [info.strideHeight, info.strideWidth] };
  const gradient = context.op('Conv', [samplesAsChannels(context, info, x), filters], attributes, BLOCKED);
  const images = context.op('ReorderOutput', [gradient], { channels: outChannels, channels_last: 1 }, BLOCKED);
  const places = info.filterHeight * info.filterWidth;
  const byChannel = context.reshape(images, [inChannels, places, outChannels]);
  return context.reshape(context.transpose(byChannel, [1, 0, 2]), info.filterShape);
}

/** x as [channels, samples (blocked), height, width], padded or cut to just what the windows reach. */
function samplesAsChannels(context: LowerContext, info: ConvolutionInfo, x: Value): Name {
  const { batchSize, inHeight, inWidth, inChannels, padInfo } = info;
  const block = context.blockSize as number;
  const flat = context.reshape(context.blocked(x), [1, batchSize, inChannels * inHeight * inWidth, 1]);
  const samplesLast = context.op('ReorderInput', [flat], {}, BLOCKED);
  const parts = [batchSize / block, inChannels / block, inHeight, inWidth, block, block];
  const images = context.transpose(context.reshape(samplesLast, parts), [1, 4, 0, 2, 3, 5]);
  const height = (info.outHeight - 1) * info.strideHeight + info.filterHeight;
  const width = (info.outWidth - 1) * info.strideWidth + info.filterWidth;
  const before = [0, 0, 0, padInfo.top, padInfo.left, 0];
  const after = [0, 0, 0, height - inHeight - padInfo.top, width - inWidth - padInfo.left, 0];
  const isExact = [...before, ...after].every((pad) => pad === 0);
  const reached = isExact ? images : context.pad(images, before, after);
  return context.reshape(reached, [inChannels, batchSize, height, width]);
}

/** A plain convolution with the batch as channels; strides and dilations change places. */
function correlated(context: LowerContext, info: ConvolutionInfo, x: Value, dy: Value): Name {
  const attributes = {
    kernel_shape: [info.outHeight, info.outWidth],
    dilations: [info.strideHeight, info.strideWidth],
    strides: [info.dilationHeight, info.dilationWidth],
    pads: padsOf(info),
  };
  const images = context.transpose(context.nchw(x), [1, 0, 2, 3]);
  const slopes = context.transpose(context.nchw(dy), [1, 0, 2, 3]);
  const gradient = context.op('Conv', [images, slopes], attributes);
  // Rows and columns that no window reached make it too large by a few.
  const cut = context.slice(gradient, [0, 0], [info.filterHeight, info.filterWidth], [2, 3]);
  return context.transpose(cut, [2, 3, 0, 1]);
}
