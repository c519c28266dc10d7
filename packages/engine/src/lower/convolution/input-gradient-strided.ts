/**
 * The input gradient of a strided convolution, blocked. Input pixels fall into phases, by their place modulo the stride; those
 * of one phase meet the same taps of the filter, so each phase is a convolution of dy at stride 1 with those taps, turned.
 */
import { BLOCKED, type Name } from '../../onnx/builder.js';
import type { Value } from '../../trace/graph.js';
import type { LowerContext } from '../context.js';
import { blockedExchanged } from './filters.js';
import type { ConvolutionInfo } from './forward.js';

/** What the pixels of one phase meet along one axis. */
interface Taps {
  /** The first tap; the others follow at distances of the stride. */
  readonly first: number;
  /** None where the stride leaps over these pixels: their gradient is zero. */
  readonly count: number;
  readonly stride: number;
  /** Rows or columns of zeros around dy. */
  readonly before: number;
  readonly after: number;
}

interface Axis {
  readonly input: number;
  readonly output: number;
  readonly filter: number;
  readonly stride: number;
  readonly padding: number;
}

interface Phased {
  readonly context: LowerContext;
  readonly info: ConvolutionInfo;
  readonly dy: Value;
  readonly filter: Value;
}

const rowsOf = (info: ConvolutionInfo): Axis => ({
  input: info.inHeight,
  output: info.outHeight,
  filter: info.filterHeight,
  stride: info.strideHeight,
  padding: info.padInfo.top,
});

const columnsOf = (info: ConvolutionInfo): Axis => ({
  input: info.inWidth,
  output: info.outWidth,
  filter: info.filterWidth,
  stride: info.strideWidth,
  padding: info.padInfo.left,
});

function tapsOf({ input, output, filter, stride, padding }: Axis, phase: number): Taps {
  const first = (phase + padding) % stride;
  const count = Math.max(0, Math.ceil((filter - first) / stride));
  const before = count - 1 - (phase + padding - first) / stride;
  const after = input / stride + count - 1 - output - before;
  return { first, count, stride, before, after };
}

const phasesOf = (axis: Axis): Taps[] => Array.from({ length: axis.stride }, (_, phase) => tapsOf(axis, phase));

/** Whether all phases are equally large, and none would have to cut dy. */
export function hasEvenPhases(info: ConvolutionInfo): boolean {
  return [rowsOf(info), columnsOf(info)].every(
    (axis) =>
      axis.input % axis.stride === 0 &&
      phasesOf(axis).every(({ count, before, after }) => count === 0 || (before >= 0 && after >= 0)),
  );
}

/** @returns the gradient's blocked form. Both channel counts must fill blocks. */
export function phasedInputGradient(context: LowerContext, info: ConvolutionInfo, dy: Value, filter: Value): Name {
  const { batchSize, inChannels, inHeight, inWidth, strideHeight } = info;
  const block = context.blockSize as number;
  const groups = (batchSize * inChannels * inHeight) / (block * strideHeight);
  const rows = phasesOf(rowsOf(info)).map((taps) =>
    context.reshape(rowPhase({ context, info, dy, filter }, taps), [groups, inWidth * block]),
  );
  return context.reshape(context.op('Concat', rows, { axis: 1 }), [batchSize, inChannels, inHeight, inWidth]);
}

/** The columns of one phase of rows, in their order: [pixels of a phase, stride · block]. */
function rowPhase(phased: Phased, rowTaps: Taps): Name {
  const { context, info } = phased;
  const block = context.blockSize as number;
  const pixels = (info.batchSize * info.inChannels * info.inHeight * info.inWidth) / block;
  const shape = [pixels / (info.strideHeight * info.strideWidth), block];
  const columns = phasesOf(columnsOf(info)).map((columnTaps) =>
    rowTaps.count === 0 || columnTaps.count === 0
      ? context.filled(0, 'float32', shape)
      : context.reshape(convolved(phased, rowTaps, columnTaps), shape),
  );
  return context.op('Concat', columns, { axis: 1 });
}

function convolved({ context, info, dy, filter }: Phased, rows: Taps, columns: Taps): Name {
  const taps = turnedTaps(context, filter, rows, columns);
  const size = [rows.count, columns.count, info.inChannels, info.outChannels];
  const operands = [context.blocked(dy), blockedExchanged(context, taps, size)];
  const pads = [rows.before, columns.before, rows.after, columns.after];
  return context.op('Conv', operands, { kernel_shape: [rows.count, columns.count], pads }, BLOCKED);
}

/** From the last tap to the first. */
function turnedTaps(context: LowerContext, filter: Value, rows: Taps, columns: Taps): Name {
  const both = [rows, columns];
  const starts = both.map(({ first, count, stride }) => first + stride * (count - 1));
  const ends = both.map(({ first }, axis) => (first > 0 ? first - 1 : -filter.shape[axis] - 1));
  const steps = both.map(({ stride }) => -stride);
  return context.slice(context.plain(filter), starts, ends, [0, 1], steps);
}
