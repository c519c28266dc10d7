/** Filters in the orders that convolutions want. tfjs's are [height, width, in, out] (HWIO). */
import type { Name } from '../../onnx/builder.js';
import type { Value } from '../../trace/graph.js';
import type { LowerContext } from '../context.js';

/** [out, in, height, width], for plain ONNX. */
export const filterOIHW = (context: LowerContext, filter: Value): Name =>
  context.transpose(context.plain(filter), [3, 2, 0, 1]);

/** Blocked by output channels, and by input channels where those fill blocks. */
export function blockedFilter(context: LowerContext, filter: Value): Name {
  const [height, width, channelsIn, channelsOut] = filter.shape;
  const block = context.blockSize as number;
  const isBlockedIn = channelsIn % block === 0;
  const split = isBlockedIn ? [channelsIn / block, block] : [channelsIn];
  const parts = context.reshape(context.plain(filter), [height, width, ...split, channelsOut / block, block]);
  const ordered = context.transpose(parts, isBlockedIn ? [4, 2, 0, 1, 3, 5] : [3, 2, 0, 1, 4]);
  return context.reshape(ordered, [channelsOut, channelsIn, height, width]);
}

/** Turned by 180° with input and output channels exchanged, blocked: what the input gradient convolves with. */
export function blockedTurnedFilter(context: LowerContext, filter: Value): Name {
  const [height, width, channelsIn, channelsOut] = filter.shape;
  const block = context.blockSize as number;
  const turned = context.slice(context.plain(filter), [-1, -1], [-height - 1, -width - 1], [0, 1], [-1, -1]);
  const parts = context.reshape(turned, [height, width, channelsIn / block, block, channelsOut / block, block]);
  return context.reshape(context.transpose(parts, [2, 4, 0, 1, 5, 3]), [channelsIn, channelsOut, height, width]);
}
