/**
 * 3×3 convolutions of small images with many channels by minimal filtering, F(2×2, 3×3): 16 products of matrices take 4 of 9
 * multiplications. Source: S. Winograd, Arithmetic Complexity of Computations (1980); A. Lavin and S. Gray, arXiv:1509.09308.
 *
 * With small images the blocked kernel is slow besides, since most pixels lie at an edge. All of an image's tiles are
 * transformed at once, by one matrix each for input, filter and output, which knows the padding, too:
 *
 *   V = I·x   U = F·w   M = U ⊙ V (a product of matrices over the channels for each of 16 places)   y = O·M
 *
 * The gradients are the same steps backwards, so that x and w are transformed once for all three and dy for two:
 *
 *   dM = Oᵀ·dy   dx = Iᵀ·(dM ⊙ Uᵀ)   dw = Fᵀ·(Vᵀ ⊙ dM)
 */
import { type Attributes, MICROSOFT, type Name } from '../../onnx/builder.js';
import type { Value } from '../../trace/graph.js';
import type { LowerContext } from '../context.js';
import { isUndilated, isUnitStride } from '../geometry.js';
import type { ConvolutionInfo } from './forward.js';

const INPUT = [
  [1, 0, -1, 0],
  [0, 1, 1, 0],
  [0, -1, 1, 0],
  [0, 1, 0, -1],
];
const FILTER = [
  [1, 0, 0],
  [0.5, 0.5, 0.5],
  [0.5, -0.5, 0.5],
  [0, 0, 1],
];
const OUTPUT = [
  [1, 1, 1, 0],
  [0, 1, -1, -1],
];
/** Output pixels of a tile and places that are multiplied, along one axis. */
const TILE = 2;
const PLACES = 4;

/** Above this the transforms, whose cost grows with the square, eat up what the products save. */
const MAX_PIXELS = 64;
/** Fewer do not make up for the transformed filter, which is 16/9 of the filter. */
const MIN_CHANNELS = 256;
const MIN_PIXELS_OF_BATCH = 256;

/** Whether minimal filtering is quicker here. All three of a convolution's computations choose it, or none. */
export function paysMinimal(context: LowerContext, info: ConvolutionInfo): boolean {
  const { inChannels, outChannels, filterHeight, filterWidth, batchSize } = info;
  const pixels = Math.max(info.inHeight * info.inWidth, info.outHeight * info.outWidth);
  const block = context.blockSize;
  return (
    block !== undefined &&
    inChannels % block === 0 &&
    outChannels % block === 0 &&
    filterHeight === 3 &&
    filterWidth === 3 &&
    isUnitStride(info) &&
    isUndilated(info) &&
    pixels <= MAX_PIXELS &&
    Math.min(inChannels, outChannels) >= MIN_CHANNELS &&
    batchSize * pixels >= MIN_PIXELS_OF_BATCH
  );
}

/** @returns y, blocked. */
export function minimalConvolution(
  context: LowerContext,
  info: ConvolutionInfo,
  { x, filter, bias }: Readonly<Record<string, Value>>,
): Name {
  const products = product(context, inputPlaces(context, info, x), filterPlaces(context, info, filter), {});
  const y = transformed(context, outputTransform(info), products);
  const shape = [info.outHeight, info.outWidth, info.batchSize, info.outChannels];
  if (!bias) return blockedOf(context, y, shape);
  const sums = context.op('Add', [context.reshape(y, shape), context.plain(bias)]);
  return blockedOf(context, sums, shape);
}

/** @returns dx, blocked. */
export function minimalInputGradient(context: LowerContext, info: ConvolutionInfo, dy: Value, filter: Value): Name {
  const products = product(context, slopePlaces(context, info, dy), filterPlaces(context, info, filter), { transB: 1 });
  const dx = transformed(context, backwards(inputTransform(info)), products);
  return blockedOf(context, dx, [info.inHeight, info.inWidth, info.batchSize, info.inChannels]);
}

/** @returns the gradient in tfjs's order (HWIO). */
export function minimalFilterGradient(context: LowerContext, info: ConvolutionInfo, x: Value, dy: Value): Name {
  const products = product(context, inputPlaces(context, info, x), slopePlaces(context, info, dy), { transA: 1 });
  const gradient = transformed(context, backwards(FILTER_TRANSFORM), products);
  return context.reshape(gradient, info.filterShape, [FILTER_TRANSFORM.columns, info.inChannels * info.outChannels]);
}

// Operands: a matrix for each place.

const inputPlaces = (context: LowerContext, info: ConvolutionInfo, x: Value): Name =>
  placesOf(context, transformed(context, inputTransform(info), pixelsFirst(context, x)), info.inChannels);

const slopePlaces = (context: LowerContext, info: ConvolutionInfo, dy: Value): Name =>
  placesOf(context, transformed(context, backwards(outputTransform(info)), pixelsFirst(context, dy)), info.outChannels);

const filterPlaces = (context: LowerContext, info: ConvolutionInfo, filter: Value): Name =>
  placesOf(context, transformed(context, FILTER_TRANSFORM, context.plain(filter)), info.outChannels);

/** [places, rows, columns] */
const placesOf = (context: LowerContext, name: Name, columns: number): Name =>
  context.reshape(name, [PLACES * PLACES, -1, columns]);

const product = (context: LowerContext, left: Name, right: Name, transposes: Attributes): Name =>
  context.op('FusedMatMul', [left, right], transposes, MICROSOFT);

// Pixels come first while transforms, which mix them, are applied.

/** The value as [H · W, N, C]; from its plain form, since that moves whole pixels. */
function pixelsFirst(context: LowerContext, value: Value): Name {
  const [samples, height, width, channels] = value.shape;
  return context.transpose(context.reshape(context.plain(value), [samples, height * width, channels]), [1, 0, 2]);
}

/** @param shape height, width, samples, channels. */
function blockedOf(context: LowerContext, name: Name, [height, width, samples, channels]: readonly number[]): Name {
  const block = context.blockSize as number;
  const parts = context.reshape(name, [height * width, samples, channels / block, block]);
  return context.reshape(context.transpose(parts, [1, 2, 0, 3]), [samples, channels, height, width]);
}

// Transforms.

/** A matrix over pixels, places or taps. */
interface Transform {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  at(row: number, column: number): number;
}

const backwards = ({ name, rows, columns, at }: Transform): Transform => ({
  name: `${name}, backwards`,
  rows: columns,
  columns: rows,
  at: (row, column) => at(column, row),
});

/** The matrix times a tensor whose first axes have its columns' number of elements. */
function transformed(context: LowerContext, { name, rows, columns, at }: Transform, operand: Name): Name {
  const matrix = context.once(`winograd ${name}`, () => {
    const elements = Float32Array.from({ length: rows * columns }, (_, index) =>
      at(Math.floor(index / columns), index % columns),
    );
    return context.onnx.constant('float32', elements, [rows, columns]);
  });
  return context.op('MatMul', [matrix, context.reshape(operand, [columns, -1])]);
}

const FILTER_TRANSFORM: Transform = {
  name: 'filter',
  rows: PLACES * PLACES,
  columns: FILTER[0].length ** 2,
  at(place, tap) {
    const [row, column] = both(place, PLACES);
    const [tapRow, tapColumn] = both(tap, FILTER[0].length);
    return FILTER[row][tapRow] * FILTER[column][tapColumn];
  },
};

/** [places · tiles, input pixels]; what lies outside of the image is zero and has no column. */
const inputTransform = (info: ConvolutionInfo): Transform => ({
  name: `input ${windowKey(info)}`,
  rows: PLACES * PLACES * tilesOf(info),
  columns: info.inHeight * info.inWidth,
  at(place, pixel) {
    const { row, column, tileRow, tileColumn } = placed(place, info);
    const [y, x] = both(pixel, info.inWidth);
    const { top, left } = info.padInfo;
    return (INPUT[row][y + top - TILE * tileRow] ?? 0) * (INPUT[column][x + left - TILE * tileColumn] ?? 0);
  },
});

/** [output pixels, places · tiles]; the last tile of an odd axis is cut. */
const outputTransform = (info: ConvolutionInfo): Transform => ({
  name: `output ${windowKey(info)}`,
  rows: info.outHeight * info.outWidth,
  columns: PLACES * PLACES * tilesOf(info),
  at(pixel, place) {
    const { row, column, tileRow, tileColumn } = placed(place, info);
    const [y, x] = both(pixel, info.outWidth);
    return (OUTPUT[y - TILE * tileRow]?.[row] ?? 0) * (OUTPUT[x - TILE * tileColumn]?.[column] ?? 0);
  },
});

const windowKey = ({ inHeight, inWidth, outHeight, outWidth, padInfo }: ConvolutionInfo): string =>
  [inHeight, inWidth, outHeight, outWidth, padInfo.top, padInfo.left].join();

const tilesDown = (info: ConvolutionInfo): number => Math.ceil(info.outHeight / TILE);
const tilesAcross = (info: ConvolutionInfo): number => Math.ceil(info.outWidth / TILE);
const tilesOf = (info: ConvolutionInfo): number => tilesDown(info) * tilesAcross(info);

/** Row and column of an element of a matrix of so many columns. */
const both = (index: number, columns: number): [number, number] => [Math.floor(index / columns), index % columns];

/** Which place of which tile a row of the transformed input is. */
function placed(index: number, info: ConvolutionInfo) {
  const [place, tile] = both(index, tilesOf(info));
  const [row, column] = both(place, PLACES);
  const [tileRow, tileColumn] = both(tile, tilesAcross(info));
  return { row, column, tileRow, tileColumn };
}
