/**
 * Products of matrices as convolutions of one pixel. ONNX Runtime's blocked convolution passes over its operands in an order that keeps
 * more of them in the cache than its matrix product does, and adds to its result in registers: with AVX-512 it reaches 150 to 170 GFLOP/s where the
 * product reaches 105 to 130 (docs/benchmarks.md). Rows are pixels, columns are channels; so they lie in bands of channels, and stay there
 * from product to product through whatever treats each element alike.
 *
 * For a gradient by weights, xᵀ · dy, rows are channels. dy in bands already is the filter; the narrower of the two is turned.
 */
import { BLOCKED, type Name } from '../onnx/builder.js';
import type { Value } from '../trace/graph.js';
import { columnsOf, type LowerContext, rowsOf } from './context.js';

/** Only with blocks of this size, those of AVX-512, was it measured. */
const BAND = 16;
/** Rows from which on convolutions pay, and elements of the weights: below, rearranging rows eats up what is won. */
const MIN_ROWS = 256;
const MIN_WEIGHTS = 2 ** 16;

interface Sides {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

const POINT = { kernel_shape: [1, 1] };

/** @returns whether the product of two matrices was lowered, with the addend and without an activation. */
export function lowerBanded(
  context: LowerContext,
  { a, b, bias }: Record<string, Value>,
  { transposeA, transposeB }: Sides,
  out: Value,
): boolean {
  if (transposeA) return !transposeB && !bias && weightsGradient(context, a, b, out);
  if (!paysInBands(context, rowsOf(a), rowsOf(b), columnsOf(b))) return false;
  const filter = transposeB ? turnedFilter(context, b) : straightFilter(context, b);
  const operands = [context.banded(a), filter, ...(bias ? [context.plain(bias)] : [])];
  context.set(out, 'banded', context.op('Conv', operands, POINT, BLOCKED));
  return true;
}

/** Static shapes alone decide, the same ones for a product and its two gradients. */
export function paysInBands({ bandColumns }: LowerContext, rows: number, inputs: number, outputs: number): boolean {
  const areWhole = [rows, inputs, outputs].every((extent) => extent % BAND === 0);
  return bandColumns === BAND && areWhole && rows >= MIN_ROWS && inputs * outputs >= MIN_WEIGHTS;
}

/** [inputs, outputs] as a filter: inputs are pixels to the reorder, so it is [outputs / b, inputs, b]. */
function straightFilter(context: LowerContext, weights: Value): Name {
  const [inputs, outputs] = [rowsOf(weights), columnsOf(weights)];
  return context.reshape(context.banded(weights), [outputs, inputs, 1, 1]);
}

/** [outputs, inputs] as a filter. */
function turnedFilter(context: LowerContext, weights: Value): Name {
  const [outputs, inputs] = [rowsOf(weights), columnsOf(weights)];
  return context.reshape(context.turned(weights), [outputs, inputs, 1, 1]);
}

/** xᵀ · dy, given out in the order of the weights. */
function weightsGradient(context: LowerContext, x: Value, dy: Value, out: Value): boolean {
  const [rows, inputs, outputs] = [rowsOf(x), columnsOf(x), columnsOf(dy)];
  if (!paysInBands(context, rows, inputs, outputs)) return false;
  const isWide = inputs > outputs;
  const [image, filter, channels] = isWide ? [dy, x, inputs] : [x, dy, outputs];
  const filters = context.reshape(context.banded(filter), [channels, rows, 1, 1]);
  const product = context.op('Conv', [context.turned(image), filters], POINT, BLOCKED);
  const ordered = context.op('ReorderOutput', [product], { channels, channels_last: isWide ? 0 : 1 }, BLOCKED);
  const shape = isWide ? [1, inputs, outputs, 1] : [1, inputs, 1, outputs];
  context.set(out, 'plain', context.reshape(ordered, out.shape, shape));
  return true;
}
