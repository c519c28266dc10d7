/**
 * Buckets: contiguous ranges of the flat buffer, each of which is reduced as one. They go from the last parameter to the
 * first, because a backward pass completes gradients about in that order.
 */
import type { Layout } from './layout.js';

/** Elements [start, end) of the flat buffer, whole blocks. */
export interface ElementRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Whole parameters each, and as few of them as make up `bucketBytes` (float32 or int32); the parameters that are left at the
 * front make up a smaller one. A pure function of the layout, so every host has the same.
 */
export function bucketsOf({ parameters, totalSize }: Layout, bucketBytes: number): ElementRange[] {
  const buckets: ElementRange[] = [];
  let end = totalSize;
  for (const { offset: start } of parameters.toReversed()) {
    if (start > 0 && (end - start) * 4 < bucketBytes) continue;
    if (start < end) buckets.push({ start, end });
    end = start;
  }
  return buckets;
}
