/**
 * Layout: the fixed order, shape and offset of every parameter in one flat float32 buffer.
 *
 * Each parameter starts at a multiple of BLOCK_SIZE elements, so that a quantisation block never spans two parameters:
 * a block number names its parameter, and kernels need no tail loop. Padding is zero for ever (its gradient is zero).
 */
export const BLOCK_SIZE = 256;

/**
 * `trainable`: the optimizer updates it from its gradient.
 * `statistic`: (a moving average, say) its "gradient" is the value that each grain proposes; the mean over grains replaces it.
 */
export type ParameterRole = 'trainable' | 'statistic';

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: ParameterRole;
}

export interface Parameter extends ParameterSpec {
  /** First element in the flat buffer, a multiple of BLOCK_SIZE. */
  readonly offset: number;
  /** Number of elements, without padding. */
  readonly size: number;
}

export interface Layout {
  readonly parameters: readonly Parameter[];
  /** Elements of the flat buffer, padding included; a multiple of BLOCK_SIZE. */
  readonly totalSize: number;
  readonly blockCount: number;
}

export const sizeOfShape = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1);

const roundUpToBlock = (size: number): number => Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE;

export function createLayout(specs: readonly ParameterSpec[]): Layout {
  const parameters: Parameter[] = [];
  let offset = 0;
  for (const spec of specs) {
    const size = sizeOfShape(spec.shape);
    parameters.push({ ...spec, offset, size });
    offset += roundUpToBlock(size);
  }
  return { parameters, totalSize: offset, blockCount: offset / BLOCK_SIZE };
}

/** @throws RangeError when the layout has no such block. */
export function parameterOfBlock(layout: Layout, block: number): Parameter {
  const element = block * BLOCK_SIZE;
  const found = layout.parameters.findLast((parameter) => parameter.offset <= element);
  if (!found || block >= layout.blockCount) {
    throw new RangeError(`block ${block} is outside a layout of ${layout.blockCount} blocks`);
  }
  return found;
}

/** The parameter's own elements (a view, no copy, no padding). */
export function viewOf(parameter: Parameter, flat: Float32Array): Float32Array {
  return flat.subarray(parameter.offset, parameter.offset + parameter.size);
}
