/** Filters in the orders that convolutions want. tfjs's are [height, width, in, out] (HWIO). */
import { BLOCKED, type Name } from '../../onnx/builder.js';
import type { Value } from '../../trace/graph.js';
import type { LowerContext } from '../context.js';

/** [out, in, height, width], for plain ONNX. */
export const filterOIHW = (context: LowerContext, filter: Value): Name =>
  context.transpose(context.plain(filter), [3, 2, 0, 1]);

/**
 * Blocked by output channels, and by input channels where those fill blocks. The reorder takes (row, column, input channel)
 * for pixels; what is left to transpose then moves whole blocks.
 */
export function blockedFilter(context: LowerContext, filter: Value): Name {
  const [height, width, channelsIn, channelsOut] = filter.shape;
  const block = context.blockSize as number;
  const pixels = context.reshape(context.plain(filter), [1, height * width, channelsIn, channelsOut]);
  const blocked = context.op('ReorderInput', [pixels], { channels_last: 1 }, BLOCKED);
  const shape = [channelsOut, channelsIn, height, width];
  if (channelsIn % block !== 0) {
    const parts = context.reshape(blocked, [channelsOut / block, height * width, channelsIn, block]);
    return context.reshape(context.transpose(parts, [0, 2, 1, 3]), shape);
  }
  const parts = context.reshape(blocked, [channelsOut / block, height * width, channelsIn / block, block * block]);
  return context.reshape(context.transpose(parts, [0, 2, 1, 3]), shape);
}

/** Turned by 180° with input and output channels exchanged, blocked: what the input gradient convolves with. */
export function blockedTurnedFilter(context: LowerContext, filter: Value): Name {
  const [height, width] = filter.shape;
  const isPoint = height === 1 && width === 1;
  const turned = isPoint
    ? context.plain(filter)
    : context.slice(context.plain(filter), [-1, -1], [-height - 1, -width - 1], [0, 1], [-1, -1]);
  return blockedExchanged(context, turned, filter.shape);
}

/** A filter of the given shape (HWIO) as one from output to input channels, blocked by both. */
export function blockedExchanged(context: LowerContext, filter: Name, shape: readonly number[]): Name {
  const [height, width, channelsIn, channelsOut] = shape;
  const block = context.blockSize as number;
  const images = context.reshape(filter, [height * width, channelsIn, 1, channelsOut]);
  const blocked = context.op('ReorderInput', [images], {}, BLOCKED);
  const parts = [height * width, channelsIn / block, channelsOut / block, block * block];
  const ordered = context.transpose(context.reshape(blocked, parts), [1, 2, 0, 3]);
  return context.reshape(ordered, [channelsIn, channelsOut, height, width]);
}
