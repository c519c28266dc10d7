/** Gradient of a convolution by its filter: a correlation of input and output gradient over batch and pixels. */
import type { Name } from '../../onnx/builder.js';
import type { tf } from '../../tensors.js';
import type { Value } from '../../trace/graph.js';
import type { KernelRule, LowerContext } from '../context.js';
import { convolutionInfo, isPadded, isUndilated, isUnitStride, padsOf } from '../geometry.js';
import { correlatedBlocked } from './filter-gradient-blocked.js';
import type { ConvolutionInfo } from './forward.js';
import { minimalFilterGradient, paysMinimal } from './winograd.js';

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
  if (paysMinimal(context, info)) return minimalFilterGradient(context, info, x, dy);
  const isSimple = isUnitStride(info) && isUndilated(info);
  const isNarrow = info.filterHeight * info.filterWidth * info.inChannels <= MAX_UNFOLDED_ROWS;
  if (isSimple && isNarrow)
    return context.canBlock(dy) ? unfoldedBlocked(context, info, x, dy) : unfolded(context, info, x, dy);
  const fillsBlocks =
    context.canBlock(x) && context.canBlock(dy) && 2 * info.batchSize >= (context.blockSize as number);
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
