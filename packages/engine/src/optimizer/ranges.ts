import type { Layout, Parameter, ParameterRole } from '@coord/protocol';

/** Elements [start, end) of the flat buffers. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

const endOf = (layout: Layout, index: number): number => layout.parameters[index + 1]?.offset ?? layout.totalSize;

/**
 * The fewest ranges that hold all parameters of one role, padding included (it is zero and stays zero), in layout order.
 * Bounds are multiples of BLOCK_SIZE, so kernels need no tail loop.
 */
export function rangesOf(layout: Layout, role: ParameterRole): Range[] {
  const ranges: Range[] = [];
  layout.parameters.forEach((parameter: Parameter, index) => {
    if (parameter.role !== role || parameter.size === 0) return;
    const previous = ranges.at(-1);
    const end = endOf(layout, index);
    if (previous?.end === parameter.offset) ranges[ranges.length - 1] = { start: previous.start, end };
    else ranges.push({ start: parameter.offset, end });
  });
  return ranges;
}

export const pieceOf = (range: Range, flat: Float32Array): Float32Array => flat.subarray(range.start, range.end);
