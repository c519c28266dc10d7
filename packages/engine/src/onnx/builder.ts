/** Builds an ONNX graph; equal operations on equal inputs are made once. */
import {
  type AttributeValue,
  attributeProto,
  FloatAttribute,
  ModelProto,
  type OnnxType,
  sequenceInfoProto,
  tensorProto,
  valueInfoProto,
} from './schema.js';

/** Name of a value in the graph. */
export type Name = string;
export type Attributes = Readonly<Record<string, AttributeValue>>;

export interface TensorInfo {
  readonly name: Name;
  readonly type: OnnxType;
  readonly dims: readonly number[];
}

interface Operation {
  readonly type: string;
  readonly inputs: readonly Name[];
  readonly outputs: Name[];
  readonly attributes: Attributes;
  readonly domain: string;
}

/**
 * Work for a kernel of ours, which runs between sessions of ONNX Runtime. The ONNX graph knows nothing of it: its inputs are
 * outputs of that graph, its outputs are inputs.
 */
export interface OwnNode {
  readonly kernel: string;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** What the kernel is told after the addresses of inputs and outputs. */
  readonly scalars: readonly number[];
}

/** ONNX Runtime's own operators, and those of its blocked (NCHWc) layout. */
export const MICROSOFT = 'com.microsoft';
export const BLOCKED = 'com.microsoft.nchwc';

/** The first output of every graph: an empty sequence. Fetching it keeps the others from being copied; see ort/session.ts. */
export const END_OUTPUT = 'end';

const OPSET = 20;
const IR_VERSION = 9;

export const float = (value: number): FloatAttribute => new FloatAttribute(value);

export class OnnxBuilder {
  readonly inputs: TensorInfo[] = [];
  readonly outputs: TensorInfo[] = [];
  readonly ownNodes: OwnNode[] = [];
  /** Outputs that a kernel of ours computes, and what it calls them. */
  readonly aliases = new Map<Name, Name>();
  private readonly operations: Operation[] = [];
  private readonly initializers = new Map<string, { name: Name; proto: object }>();
  private readonly known = new Map<string, Name[]>();
  private readonly domains = new Set<string>();
  private readonly reshapes = new Map<Name, Name>();
  /** Shapes of what reshapes were made from, where they were told. */
  private readonly shapes = new Map<Name, readonly number[]>();
  /** What kernels of ours read and make. */
  private readonly handedOut = new Map<Name, TensorInfo>();
  private readonly handedIn = new Map<Name, TensorInfo>();
  private counter = 0;

  input(name: Name, type: OnnxType, dims: readonly number[]): Name {
    this.inputs.push({ name, type, dims });
    return name;
  }

  /** An output has the shape in which it is computed, if that is known: to reshape it would copy it. */
  output(name: Name, type: OnnxType, dims: readonly number[], value: Name): void {
    const source = this.sourceOf(value);
    if (this.isOwn(source)) {
      this.outputs.push({ name, type, dims });
      this.aliases.set(name, source);
      return;
    }
    const shape = this.shapes.get(source);
    this.outputs.push({ name, type, dims: shape ?? dims });
    const inputs = [shape ? source : value];
    this.operations.push({ type: 'Identity', inputs, outputs: [name], attributes: {}, domain: '' });
  }

  /** @param from the shape that `name` has, if the result may become an output. */
  reshape(name: Name, dims: readonly number[], from?: readonly number[]): Name {
    if (from) this.shapes.set(name, from);
    return this.op('Reshape', [name, this.integers(dims)]);
  }

  /**
   * Work for a kernel of ours.
   *
   * @param inputs values that are no constants; types and shapes as they are here.
   * @param outputs types and shapes; the names are made up.
   * @returns names of the outputs
   */
  own(
    kernel: string,
    inputs: readonly TensorInfo[],
    outputs: readonly Omit<TensorInfo, 'name'>[],
    scalars: readonly number[],
  ): Name[] {
    // A value that is another one in a new shape would be copied on its way out of a session.
    const sources = inputs.map((info) => ({ ...info, name: this.sourceOf(info.name) }));
    for (const info of sources) this.handedOut.set(info.name, info);
    const made = outputs.map((info) => ({ ...info, name: `${kernel}_${this.counter++}` }));
    for (const info of made) this.handedIn.set(info.name, info);
    this.ownNodes.push({ kernel, inputs: sources, outputs: made, scalars });
    return made.map(({ name }) => name);
  }

  private isOwn(name: Name): boolean {
    return this.handedIn.has(name);
  }

  /** The value itself, where `name` is one in another shape. */
  private sourceOf(name: Name): Name {
    const source = this.reshapes.get(name);
    return source === undefined ? name : this.sourceOf(source);
  }

  /** A constant tensor; `dims` of [] makes a scalar. */
  constant(type: OnnxType, values: ArrayLike<number>, dims: readonly number[]): Name {
    // Long constants are not worth comparing.
    const key = values.length > 256 ? `#${this.counter++}` : `${type}:${dims}:${Array.from(values, keyOf)}`;
    const existing = this.initializers.get(key);
    if (existing) return existing.name;
    const name = `c${this.initializers.size}`;
    this.initializers.set(key, { name, proto: tensorProto(name, type, dims, values) });
    return name;
  }

  integers(values: readonly number[]): Name {
    return this.constant('int64', values, [values.length]);
  }

  /** An operation with one output. An empty input name leaves an optional input out. */
  op(type: string, inputs: readonly Name[], attributes: Attributes = {}, domain = ''): Name {
    return this.ops(type, inputs, 1, attributes, domain)[0];
  }

  ops(type: string, inputs: readonly Name[], outputCount: number, attributes: Attributes = {}, domain = ''): Name[] {
    const key = `${domain}.${type}(${inputs})${JSON.stringify(attributes)}${outputCount}`;
    const existing = this.known.get(key);
    if (existing) return existing;
    const outputs = Array.from({ length: outputCount }, () => `${type}_${this.counter++}`);
    this.operations.push({ type, inputs, outputs, attributes, domain });
    if (domain !== '') this.domains.add(domain);
    this.known.set(key, outputs);
    if (type === 'Reshape') this.reshapes.set(outputs[0], inputs[0]);
    return outputs;
  }

  get operationCount(): number {
    return this.operations.length;
  }

  /** By an operation of ONNX Runtime. */
  private isComputed(name: Name): boolean {
    return !this.isOwn(name) && this.inputs.every((input) => input.name !== name);
  }

  /** Without those that nothing needs, such as reshapes of what is given out in another shape. */
  private neededOperations(): Operation[] {
    const needed = new Set([...this.outputs.map(({ name }) => name), ...this.handedOut.keys()]);
    const operations: Operation[] = [];
    for (const operation of this.operations.toReversed()) {
      if (!operation.outputs.some((name) => needed.has(name))) continue;
      operations.push(operation);
      for (const name of operation.inputs) needed.add(name);
    }
    return operations.reverse();
  }

  /** The model as protobuf bytes, without the work of kernels of ours. */
  build(): Uint8Array {
    return ModelProto.encode({
      irVersion: IR_VERSION,
      producerName: 'coord',
      graph: {
        name: 'step',
        node: [...this.neededOperations(), END_OPERATION].map(nodeProto),
        initializer: [...this.initializers.values()].map(({ proto }) => proto),
        input: [...this.inputs, ...this.handedIn.values()].map(valueInfo),
        output: [
          sequenceInfoProto(END_OUTPUT),
          ...this.outputs.filter(({ name }) => !this.aliases.has(name)).map(valueInfo),
          ...[...this.handedOut.values()].filter(({ name }) => this.isComputed(name)).map(valueInfo),
        ],
      },
      opsetImport: [{ domain: '', version: OPSET }, ...[...this.domains].map((domain) => ({ domain, version: 1 }))],
    }).finish();
  }
}

const END_OPERATION: Operation = {
  type: 'SequenceEmpty',
  inputs: [],
  outputs: [END_OUTPUT],
  attributes: {},
  domain: '',
};

const valueInfo = ({ name, type, dims }: TensorInfo): object => valueInfoProto(name, type, dims);

/** Tells −0 from 0. */
const keyOf = (value: number): string => (Object.is(value, -0) ? '-0' : String(value));

const nodeProto = ({ type, inputs, outputs, attributes, domain }: Operation): object => ({
  opType: type,
  input: inputs,
  output: outputs,
  name: `n_${outputs[0]}`,
  attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
  domain,
});
