/**
 * The filter gradient as a blocked convolution with the batch as channels: x is the image, dy the filter, strides become
 * dilations. dy is large, so it is taken in bands of rows, each convolution adding to the one before.
 */
import { BLOCKED, type Name } from '../../onnx/builder.js';
import type { Value } from '../../trace/graph.js';
import type { LowerContext } from '../context.js';
import { isPadded, isUnitStride } from '../geometry.js';
import type { ConvolutionInfo } from './forward.js';

/** What the kernel should find in the cache while it sweeps an image: a group of filters for one block of samples. */
const CACHED_BYTES = 512 * 1024;
/** Output channels that the kernel computes together. */
const GROUP_CHANNELS = 64;
/** Columns of a result that the kernel computes together, if it has so many (with AVX-512; with AVX2 half). */
const GROUP_COLUMNS = 6;

interface Correlation {
  readonly context: LowerContext;
  readonly info: ConvolutionInfo;
  readonly block: number;
  /** The batch, rounded up to whole blocks; the samples added are zeros. */
  readonly samples: number;
  /** Input channels whose columns alternate in one image: the result, narrow as a filter, is as much wider. */
  readonly woven: number;
}

/** Rows of dy. */
interface Band {
  readonly row: number;
  readonly height: number;
}

/** @returns the gradient in tfjs's order (HWIO). Both channel counts must fill blocks. */
export function correlatedBlocked(context: LowerContext, info: ConvolutionInfo, x: Value, dy: Value): Name {
  if (leaps(info)) return correlatedAt(context, unstrided(info), reachedPixels(context, info, x), dy);
  return correlatedAt(context, info, context.blocked(x), dy);
}

/** Whether a filter of one pixel leaps over pixels, which may as well be left out before. */
const leaps = (info: ConvolutionInfo): boolean =>
  info.filterHeight === 1 && info.filterWidth === 1 && !isUnitStride(info) && !isPadded(info);

/** The convolution of the pixels that are reached. */
const unstrided = (info: ConvolutionInfo): ConvolutionInfo => ({
  ...info,
  inHeight: info.outHeight,
  inWidth: info.outWidth,
  strideHeight: 1,
  strideWidth: 1,
});

function reachedPixels(context: LowerContext, info: ConvolutionInfo, x: Value): Name {
  const { batchSize, inChannels, inHeight, inWidth, outHeight, outWidth, strideHeight, strideWidth } = info;
  const block = context.blockSize as number;
  const planes = context.reshape(context.blocked(x), [(batchSize * inChannels) / block, inHeight, inWidth, block]);
  const reached = context.slice(planes, [0, 0], [inHeight, inWidth], [1, 2], [strideHeight, strideWidth]);
  return context.reshape(reached, [batchSize, inChannels, outHeight, outWidth]);
}

/** @param x blocked. */
function correlatedAt(context: LowerContext, info: ConvolutionInfo, x: Name, dy: Value): Name {
  const { inChannels, outChannels, outHeight, filterHeight, filterWidth, batchSize } = info;
  const block = context.blockSize as number;
  const woven = wovenChannels(filterWidth, block);
  const correlation = { context, info, block, woven, samples: Math.ceil(batchSize / block) * block };
  const images = samplesAsChannels(correlation, wholeBlocks(correlation, x));
  const slopes = slopesOf(correlation, wholeBlocks(correlation, context.blocked(dy)));
  const bandHeight = rowsInCache(correlation);
  let sum: Name | undefined;
  for (let row = 0; row < outHeight; row += bandHeight) {
    const band = { row, height: Math.min(bandHeight, outHeight - row) };
    sum = addBand(correlation, images, slopes, band, sum);
  }
  const places = context.op('ReorderOutput', [sum as Name], { channels: outChannels, channels_last: 1 }, BLOCKED);
  const [groups, taps, columns] = [inChannels / woven, filterHeight * filterWidth, woven * outChannels];
  const byTap = context.transpose(context.reshape(places, [groups, taps, columns]), [1, 0, 2]);
  return context.reshape(byTap, info.filterShape, [taps, groups, columns]);
}

/** The largest power of two that leaves a filter's width within what the kernel computes together. */
function wovenChannels(filterWidth: number, block: number): number {
  let woven = 1;
  while (2 * woven * filterWidth <= GROUP_COLUMNS && 2 * woven <= block) woven *= 2;
  return woven;
}

/** The blocked tensor with zeros for the samples that are missing in the last block. */
function wholeBlocks({ context, samples, info }: Correlation, blocked: Name): Name {
  const missing = samples - info.batchSize;
  return missing === 0 ? blocked : context.pad(blocked, [0, 0, 0, 0], [missing, 0, 0, 0]);
}

function rowsInCache({ block, info: { outWidth, outChannels } }: Correlation): number {
  const rowBytes = 4 * outWidth * block * Math.min(outChannels, GROUP_CHANNELS);
  return Math.max(1, Math.floor(CACHED_BYTES / rowBytes));
}

function addBand(correlation: Correlation, images: Name, slopes: Name, band: Band, sum: Name | undefined): Name {
  const { context, info, samples, woven } = correlation;
  const { strideHeight, strideWidth } = info;
  const first = band.row * strideHeight;
  const height = (band.height - 1) * strideHeight + info.filterHeight;
  const rows = band.height === info.outHeight ? images : context.slice(images, [first], [first + height], [2]);
  const channels = context.reshape(rows, [info.inChannels / woven, samples, height, reachedWidth(info) * woven]);
  const attributes = { kernel_shape: [band.height, info.outWidth], dilations: [strideHeight, strideWidth * woven] };
  const addend = sum === undefined ? [] : ['', sum];
  return context.op('Conv', [channels, bandFilter(correlation, slopes, band), ...addend], attributes, BLOCKED);
}

/** dy as [samples / block, block, output channels / block, height, width, block]. */
function slopesOf({ context, info, block, samples }: Correlation, dy: Name): Name {
  const { outChannels, outHeight, outWidth } = info;
  return context.reshape(dy, [samples / block, block, outChannels / block, outHeight, outWidth, block]);
}

/** Rows of dy as a filter: [output channels, samples, height, width], blocked by both. */
function bandFilter({ context, info, samples }: Correlation, slopes: Name, band: Band): Name {
  const isWhole = band.height === info.outHeight;
  const rows = isWhole ? slopes : context.slice(slopes, [band.row], [band.row + band.height], [3]);
  const ordered = context.transpose(rows, [2, 0, 3, 4, 1, 5]);
  return context.reshape(ordered, [info.outChannels, samples, band.height, info.outWidth]);
}

/** Rows and columns of x that the windows reach. */
const reachedHeight = (info: ConvolutionInfo): number => (info.outHeight - 1) * info.strideHeight + info.filterHeight;
const reachedWidth = (info: ConvolutionInfo): number => (info.outWidth - 1) * info.strideWidth + info.filterWidth;

/**
 * x as [channels / woven, samples / block, height, width, woven · block], padded or cut to what the windows reach. Padding is
 * written out, since the kernel treats padded columns one by one, and here nearly every column would be one. ReorderInput is by
 * far the quickest transposition there is.
 */
function samplesAsChannels({ context, info, block, samples, woven }: Correlation, x: Name): Name {
  const { inHeight, inWidth, inChannels, padInfo } = info;
  const flat = context.reshape(x, [1, samples, inChannels * inHeight * inWidth, 1]);
  const samplesLast = context.op('ReorderInput', [flat], {}, BLOCKED);
  const parts = [samples / block, inChannels / block, inHeight, inWidth, block / woven, woven * block];
  const ordered = context.transpose(context.reshape(samplesLast, parts), [1, 4, 0, 2, 3, 5]);
  const images = context.reshape(ordered, [inChannels / woven, samples / block, inHeight, inWidth, woven * block]);
  const before = [0, 0, padInfo.top, padInfo.left, 0];
  const after = [0, 0, reachedHeight(info) - inHeight - padInfo.top, reachedWidth(info) - inWidth - padInfo.left, 0];
  const isExact = [...before, ...after].every((pad) => pad === 0);
  return isExact ? images : context.pad(images, before, after);
}
