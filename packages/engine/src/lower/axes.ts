/** Axes of a reduction. */
import { tf } from '../tensors.js';

export interface ReduceAttrs {
  readonly axis?: number | number[];
  /** What tfjs calls the axes of Max, and of Max alone. */
  readonly reductionIndices?: number | number[];
  readonly keepDims?: boolean;
}

/** The reduced axes, ascending, none negative; all of them where the kernel names none. */
export function reducedAxes({ axis, reductionIndices }: ReduceAttrs, shape: readonly number[]): number[] {
  const axes = tf.util.parseAxisParam((axis ?? reductionIndices) as number[], [...shape]);
  return axes.sort((a, b) => a - b);
}
