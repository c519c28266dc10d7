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
  private readonly operations: Operation[] = [];
  private readonly initializers = new Map<string, { name: Name; proto: object }>();
  private readonly known = new Map<string, Name[]>();
  private readonly domains = new Set<string>();
  private counter = 0;

  input(name: Name, type: OnnxType, dims: readonly number[]): Name {
    this.inputs.push({ name, type, dims });
    return name;
  }

  output(name: Name, type: OnnxType, dims: readonly number[], value: Name): void {
    this.operations.push({ type: 'Identity', inputs: [value], outputs: [name], attributes: {}, domain: '' });
    this.outputs.push({ name, type, dims });
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
    return outputs;
  }

  get operationCount(): number {
    return this.operations.length;
  }

  /** The model as protobuf bytes. */
  build(): Uint8Array {
    return ModelProto.encode({
      irVersion: IR_VERSION,
      producerName: 'coord',
      graph: {
        name: 'step',
        node: [...this.operations, END_OPERATION].map(nodeProto),
        initializer: [...this.initializers.values()].map(({ proto }) => proto),
        input: this.inputs.map(({ name, type, dims }) => valueInfoProto(name, type, dims)),
        output: [
          sequenceInfoProto(END_OUTPUT),
          ...this.outputs.map(({ name, type, dims }) => valueInfoProto(name, type, dims)),
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
