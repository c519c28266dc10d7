/**
 * Lowering: recorded tfjs kernels become ONNX operations.
 *
 * A traced value of rank 4 may exist in up to three forms, made when first asked for and kept:
 * - `plain`: elements in tfjs's order (NHWC), the form that every value of any rank can take;
 * - `nchw`: channels first, what ONNX's convolutions and pools want;
 * - `blocked`: ONNX Runtime's internal NCHWc, [N, C/b, H, W, b] in memory with the shape [N, C, H, W]; several times faster.
 *
 * Rows of columns (the last axis), of any rank, may exist in two more, in which products of matrices are convolutions (lower/banded.ts):
 * - `banded`: as pixels of one blocked image, [columns/b, rows, b] in memory with the shape [1, columns, rows, 1];
 * - `turned`: rows as channels of an image whose pixels are columns, [rows/b, columns, b] with the shape [1, rows, columns, 1].
 */
import { sizeOfShape } from '@coord/protocol';
import type { DataType } from '@tensorflow/tfjs-core';
import { type Attributes, BLOCKED, type Name, type OnnxBuilder } from '../onnx/builder.js';
import { DATA_TYPE, type OnnxType } from '../onnx/schema.js';
import { type Node, unsupported, type Value } from '../trace/graph.js';

export type Form = 'plain' | 'nchw' | 'blocked' | 'banded' | 'turned';

export type KernelRule = (node: Node, context: LowerContext) => void;
export type KernelRules = Readonly<Record<string, KernelRule>>;

/** What a kernel of ours writes: a value of the graph, or something that nobody reads. */
export type OwnOutput = Value | Pick<Value, 'shape' | 'dtype'>;

const TO_CHANNELS_FIRST = [0, 3, 1, 2];
const TO_CHANNELS_LAST = [0, 2, 3, 1];

export class LowerContext {
  private readonly forms = new Map<Value, Partial<Record<Form, Name>>>();
  private readonly made = new Map<string, Name>();

  /**
   * @param blockSize channels of a block of the blocked layout; undefined where that layout is not to be used.
   * @param kernelsFrom elements from which on a kernel of ours pays; undefined where there are none.
   * @param threads that an operation may run on.
   */
  constructor(
    readonly onnx: OnnxBuilder,
    readonly blockSize: number | undefined,
    private readonly kernelsFrom: number | undefined,
    readonly threads: number,
  ) {}

  // Forms of values.

  plain(value: Value): Name {
    return this.formOf(value, 'plain', (forms) => {
      if (forms.banded !== undefined) return this.unbanded(value, forms.banded);
      return forms.blocked === undefined
        ? this.transpose(this.nchw(value), TO_CHANNELS_LAST)
        : this.unblocked(value, forms.blocked, { channels_last: 1 });
    });
  }

  nchw(value: Value): Name {
    return this.formOf(value, 'nchw', (forms) =>
      forms.blocked === undefined
        ? this.transpose(this.plain(value), TO_CHANNELS_FIRST)
        : this.unblocked(value, forms.blocked, {}),
    );
  }

  blocked(value: Value): Name {
    return this.formOf(value, 'blocked', (forms) =>
      forms.nchw === undefined
        ? this.reordered('ReorderInput', value, this.plain(value), { channels_last: 1 })
        : this.reordered('ReorderInput', value, forms.nchw, {}),
    );
  }

  banded(value: Value): Name {
    return this.formOf(value, 'banded', () => {
      const pixels = this.reshape(this.plain(value), [1, rowsOf(value), 1, columnsOf(value)]);
      return this.op('ReorderInput', [pixels], { channels_last: 1 }, BLOCKED);
    });
  }

  private unbanded(value: Value, banded: Name): Name {
    const attributes = { channels: columnsOf(value), channels_last: 1 };
    return this.reshape(this.reordered('ReorderOutput', value, banded, attributes), value.shape);
  }

  turned(value: Value): Name {
    return this.formOf(value, 'turned', () => {
      const image = this.reshape(this.plain(value), [1, rowsOf(value), columnsOf(value), 1]);
      return this.op('ReorderInput', [image], {}, BLOCKED);
    });
  }

  private unblocked(value: Value, name: Name, attributes: Attributes): Name {
    return this.reordered('ReorderOutput', value, name, { channels: value.shape[3], ...attributes });
  }

  /** The reorders take floats alone. */
  private reordered(type: string, { dtype }: Value, name: Name, attributes: Attributes): Name {
    if (dtype === 'float32') return this.op(type, [name], attributes, BLOCKED);
    return this.cast(this.op(type, [this.cast(name, 'float32')], attributes, BLOCKED), dtype);
  }

  private formOf(value: Value, form: Form, make: (forms: Partial<Record<Form, Name>>) => Name): Name {
    const forms = this.entry(value);
    forms[form] ??= make(forms);
    return forms[form];
  }

  has(value: Value, form: Form): boolean {
    return value.shape.length === 4 && this.entry(value)[form] !== undefined;
  }

  /** True when the value lies in bands already, and nowhere else. */
  isBanded(value: Value): boolean {
    const { banded, plain } = this.entry(value);
    return banded !== undefined && plain === undefined;
  }

  /** True when the value lies channels first (or blocked), so that staying there saves a transposition. */
  isChannelsFirst(value: Value): boolean {
    return !this.has(value, 'plain') && (this.has(value, 'nchw') || this.has(value, 'blocked'));
  }

  canBlock(value: Value): boolean {
    return this.blockSize !== undefined && value.shape.length === 4 && value.shape[3] % this.blockSize === 0;
  }

  set(value: Value, form: Form, name: Name): void {
    this.forms.set(value, { [form]: name });
  }

  /** `value` is the same tensor as `other`, in whatever forms that has. */
  alias(value: Value, other: Value): void {
    this.forms.set(value, this.entry(other));
  }

  private entry(value: Value): Partial<Record<Form, Name>> {
    const existing = this.forms.get(value);
    if (existing) return existing;
    const made = { plain: this.leaf(value) };
    this.forms.set(value, made);
    return made;
  }

  private leaf(value: Value): Name {
    if (value.kind === 'constant') return this.constantOf(value);
    if (value.kind === 'result') throw new Error(`value ${value.id} is used before it is computed`);
    return this.onnx.input(value.name as string, onnxType(value.dtype), value.shape);
  }

  private constantOf(value: Value): Name {
    const type = onnxType(value.dtype);
    if (value.uniform === undefined) return this.onnx.constant(type, value.data ?? [], value.shape);
    return this.filled(value.uniform, value.dtype, value.shape);
  }

  /** What `make` gave when first asked for under this key: long constants are not compared by their elements. */
  once(key: string, make: () => Name): Name {
    const name = this.made.get(key) ?? make();
    this.made.set(key, name);
    return name;
  }

  // Kernels of ours.

  /** Columns of a band, where products of matrices are to be convolutions and kernels of ours understand bands. */
  get bandColumns(): number | undefined {
    return Number.isFinite(this.kernelsFrom) ? this.blockSize : undefined;
  }

  /** True where a kernel of ours computes what is done to `value` quicker: it takes rows of whole vectors of four. */
  paysAsKernel(value: Value): boolean {
    const isFourfold = (value.shape.at(-1) ?? 1) % 4 === 0;
    return this.kernelsFrom !== undefined && isFourfold && sizeOfShape(value.shape) >= this.kernelsFrom;
  }

  /**
   * Leaves the outputs to a kernel of ours.
   *
   * @param arranged those of inputs and outputs that lie in `form`; the others are plain.
   */
  own(
    kernel: string,
    inputs: readonly Value[],
    outputs: readonly OwnOutput[],
    scalars: readonly number[],
    arranged: readonly OwnOutput[] = [],
    form: 'banded' | 'blocked' = 'banded',
  ): void {
    const formFor = (value: OwnOutput) => (arranged.includes(value) ? form : 'plain');
    const infoOf = (value: OwnOutput) => ({ type: onnxType(value.dtype), dims: dimsIn(formFor(value), value) });
    const operands = inputs.map((value) => ({ name: this[formFor(value)](value), ...infoOf(value) }));
    const names = this.onnx.own(kernel, operands, outputs.map(infoOf), scalars);
    outputs.forEach((output, index) => {
      if ('id' in output) this.set(output, formFor(output), names[index]);
    });
  }

  // Short forms of common operations.

  op(type: string, inputs: readonly Name[], attributes?: Attributes, domain?: string): Name {
    return this.onnx.op(type, inputs, attributes, domain);
  }

  scalar(value: number, dtype: DataType = 'float32'): Name {
    return this.onnx.constant(onnxType(dtype), [value], []);
  }

  /** A tensor whose elements are all equal, stored as one. */
  filled(value: number, dtype: DataType, shape: readonly number[]): Name {
    const one = this.scalar(value, dtype);
    return shape.length === 0 ? one : this.op('Expand', [one, this.onnx.integers(shape)]);
  }

  transpose(name: Name, perm: readonly number[]): Name {
    return this.op('Transpose', [name], { perm });
  }

  /** @param from the shape that `name` has, if the result may become an output: it is given out in that one. */
  reshape(name: Name, shape: readonly number[], from?: readonly number[]): Name {
    return this.onnx.reshape(name, shape, from);
  }

  sum(name: Name, axes: readonly number[], keepDims = false): Name {
    return this.op('ReduceSum', [name, this.onnx.integers(axes)], { keepdims: keepDims ? 1 : 0 });
  }

  slice(
    name: Name,
    starts: readonly number[],
    ends: readonly number[],
    axes: readonly number[],
    steps?: number[],
  ): Name {
    const ranges = [starts, ends, axes, ...(steps ? [steps] : [])];
    return this.op('Slice', [name, ...ranges.map((range) => this.onnx.integers(range))]);
  }

  /** Zeros before and after each axis. */
  pad(name: Name, before: readonly number[], after: readonly number[]): Name {
    return this.op('Pad', [name, this.onnx.integers([...before, ...after])]);
  }

  cast(name: Name, dtype: DataType): Name {
    return this.op('Cast', [name], { to: DATA_TYPE[onnxType(dtype)] });
  }
}

/** The shape that ONNX sees. */
function dimsIn(form: 'plain' | 'banded' | 'blocked', value: OwnOutput): readonly number[] {
  if (form === 'banded') return [1, columnsOf(value), rowsOf(value), 1];
  return form === 'blocked' ? TO_CHANNELS_FIRST.map((axis) => value.shape[axis]) : value.shape;
}

export function onnxType(dtype: DataType): OnnxType {
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'bool') return dtype;
  throw unsupported('the step', `it computes with ${dtype} tensors`);
}

/** Elements of the last axis. */
export const columnsOf = ({ shape }: Pick<Value, 'shape'>): number => shape.at(-1) ?? 1;
/** How often the last axis repeats. */
export const rowsOf = ({ shape }: Pick<Value, 'shape'>): number => sizeOfShape(shape.slice(0, -1));

/** The one number that all elements of a float32 value have, if so. */
export const uniformOf = (value: Value): number | undefined => (value.dtype === 'float32' ? value.uniform : undefined);

export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((extent, axis) => extent === b[axis]);
