/** Where resized images take their pixels from: the arithmetic of tfjs's `cpu` backend, an axis at a time. */

export interface ResizeAttrs {
  readonly alignCorners?: boolean;
  readonly halfPixelCenters?: boolean;
}

/** Place in the source, in fractions of pixels, of each place of the result. */
function positions(from: number, to: number, { alignCorners, halfPixelCenters }: ResizeAttrs): number[] {
  const shrunk = alignCorners && to > 1 ? 1 : 0;
  const ratio = (from - shrunk) / (to - shrunk);
  return Array.from({ length: to }, (_, index) => ratio * (halfPixelCenters ? index + 0.5 : index));
}

/** The source pixel of each place along an axis of `to` pixels. */
export function nearestPlaces(from: number, to: number, attrs: ResizeAttrs): number[] {
  const round = attrs.alignCorners ? Math.round : Math.floor;
  return positions(from, to, attrs).map((position) => Math.min(from - 1, round(position)));
}

/** [to, from]: each row has a one where its pixel comes from. */
export function nearestMatrix(from: number, to: number, attrs: ResizeAttrs): Float32Array {
  const matrix = new Float32Array(to * from);
  nearestPlaces(from, to, attrs).forEach((place, row) => {
    matrix[row * from + place] = 1;
  });
  return matrix;
}

/** [to, from]: each row has the shares of the two pixels between which its place lies. */
export function bilinearMatrix(from: number, to: number, attrs: ResizeAttrs): Float32Array {
  const matrix = new Float32Array(to * from);
  positions(from, to, attrs).forEach((centre, row) => {
    const position = attrs.halfPixelCenters ? centre - 0.5 : centre;
    const low = Math.max(0, Math.floor(position));
    const high = Math.min(from - 1, Math.ceil(position));
    matrix[row * from + low] += 1 - (position - low);
    matrix[row * from + high] += position - low;
  });
  return matrix;
}
