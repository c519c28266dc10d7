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

/** What the kernel should find in the cache while it sweeps an image: a group of filters for one block of samples. */
const CACHED_BYTES = 512 * 1024;
/** Output channels that the kernel computes together. */
const GROUP_CHANNELS = 64;

/**
 * A blocked convolution with the batch as channels; strides become dilations. dy is the filter, and large: it is taken in
 * bands of rows, each convolution adding to the one before.
 */
function correlatedBlocked(context: LowerContext, info: ConvolutionInfo, x: Value, dy: Value): Name {
  const { inChannels, outChannels, outHeight, filterHeight, filterWidth, filterShape } = info;
  const images = samplesAsChannels(context, info, x);
  const bandHeight = rowsInCache(context, info);
  let sum: Name | undefined;
  for (let row = 0; row < outHeight; row += bandHeight) {
    sum = addBand(context, info, images, dy, { row, height: Math.min(bandHeight, outHeight - row) }, sum);
  }
  const attributes = { channels: outChannels, channels_last: 1 };
  const places = context.op('ReorderOutput', [sum as Name], attributes, BLOCKED);
  const byChannel = context.reshape(places, [inChannels, filterHeight * filterWidth, outChannels]);
  return context.reshape(context.transpose(byChannel, [1, 0, 2]), filterShape);
}

function rowsInCache(context: LowerContext, { outWidth, outChannels }: ConvolutionInfo): number {
  const rowBytes = 4 * outWidth * (context.blockSize as number) * Math.min(outChannels, GROUP_CHANNELS);
  return Math.max(1, Math.floor(CACHED_BYTES / rowBytes));
}

/** Rows of dy. */
interface Band {
  readonly row: number;
  readonly height: number;
}

function addBand(
  context: LowerContext,
  info: ConvolutionInfo,
  images: Name,
  dy: Value,
  band: Band,
  sum: Name | undefined,
): Name {
  const { batchSize, inChannels, outWidth, strideHeight, strideWidth } = info;
  const block = context.blockSize as number;
  const isWhole = band.height === info.outHeight;
  const firstRow = band.row * strideHeight;
  const height = (band.height - 1) * strideHeight + info.filterHeight;
  const rows = isWhole ? images : context.slice(images, [firstRow], [firstRow + height], [2]);
  const channels = context.reshape(rows, [inChannels, batchSize, height, reachedWidth(info)]);
  const attributes = { kernel_shape: [band.height, outWidth], dilations: [strideHeight, strideWidth] };
  const operands = [channels, bandFilter(context, info, dy, band, block), ...(sum === undefined ? [] : ['', sum])];
  return context.op('Conv', operands, attributes, BLOCKED);
}

/** Rows of dy as a filter: [output channels, samples, height, width], blocked by both. */
function bandFilter(context: LowerContext, info: ConvolutionInfo, dy: Value, band: Band, block: number): Name {
  const { batchSize, outChannels, outHeight, outWidth } = info;
  const shape = [batchSize / block, block, outChannels / block, outHeight, outWidth, block];
  const slopes = context.reshape(context.blocked(dy), shape);
  const isWhole = band.height === outHeight;
  const rows = isWhole ? slopes : context.slice(slopes, [band.row], [band.row + band.height], [3]);
  const ordered = context.transpose(rows, [2, 0, 3, 4, 1, 5]);
  return context.reshape(ordered, [outChannels, batchSize, band.height, outWidth]);
}

/** Rows and columns of x that the windows reach. */
const reachedHeight = (info: ConvolutionInfo): number => (info.outHeight - 1) * info.strideHeight + info.filterHeight;
const reachedWidth = (info: ConvolutionInfo): number => (info.outWidth - 1) * info.strideWidth + info.filterWidth;

/**
 * x as [channels, samples / block, height, width, block], padded or cut to what the windows reach. Padding is written out,
 * since the kernel treats padded columns one by one, and here nearly every column would be one. ReorderInput is by far the
 * quickest transposition there is.
 */
function samplesAsChannels(context: LowerContext, info: ConvolutionInfo, x: Value): Name {
  const { batchSize, inHeight, inWidth, inChannels, padInfo } = info;
  const block = context.blockSize as number;
  const flat = context.reshape(context.blocked(x), [1, batchSize, inChannels * inHeight * inWidth, 1]);
  const samplesLast = context.op('ReorderInput', [flat], {}, BLOCKED);
  const parts = [batchSize / block, inChannels / block, inHeight, inWidth, block, block];
  const ordered = context.transpose(context.reshape(samplesLast, parts), [1, 4, 0, 2, 3, 5]);
  const images = context.reshape(ordered, [inChannels, batchSize / block, inHeight, inWidth, block]);
  const before = [0, 0, padInfo.top, padInfo.left, 0];
  const after = [0, 0, reachedHeight(info) - inHeight - padInfo.top, reachedWidth(info) - inWidth - padInfo.left, 0];
  const isExact = [...before, ...after].every((pad) => pad === 0);
  return isExact ? images : context.pad(images, before, after);
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
