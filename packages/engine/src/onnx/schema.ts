/**
 * The part of ONNX's protobuf schema that a graph of ours needs.
 * Source: onnx/onnx.proto (field numbers and enum values), https://github.com/onnx/onnx.
 */
import protobuf from 'protobufjs';

type FieldTuple = readonly [name: string, type: string, id: number, repeated?: 'repeated'];

const message = (...fields: FieldTuple[]): protobuf.IType => ({
  fields: Object.fromEntries(fields.map(([name, type, id, rule]) => [name, rule ? { type, id, rule } : { type, id }])),
});

const root = protobuf.Root.fromJSON({
  nested: {
    AttributeProto: message(
      ['name', 'string', 1],
      ['f', 'float', 2],
      ['i', 'int64', 3],
      ['s', 'bytes', 4],
      ['ints', 'int64', 8, 'repeated'],
      ['type', 'int32', 20],
    ),
    TensorProto: message(
      ['dims', 'int64', 1, 'repeated'],
      ['dataType', 'int32', 2],
      ['name', 'string', 8],
      ['rawData', 'bytes', 9],
    ),
    NodeProto: message(
      ['input', 'string', 1, 'repeated'],
      ['output', 'string', 2, 'repeated'],
      ['name', 'string', 3],
      ['opType', 'string', 4],
      ['attribute', 'AttributeProto', 5, 'repeated'],
      ['domain', 'string', 7],
    ),
    Dimension: message(['dimValue', 'int64', 1]),
    TensorShapeProto: message(['dim', 'Dimension', 1, 'repeated']),
    TensorType: message(['elemType', 'int32', 1], ['shape', 'TensorShapeProto', 2]),
    SequenceType: message(['elemType', 'TypeProto', 1]),
    TypeProto: message(['tensorType', 'TensorType', 1], ['sequenceType', 'SequenceType', 4]),
    ValueInfoProto: message(['name', 'string', 1], ['type', 'TypeProto', 2]),
    GraphProto: message(
      ['node', 'NodeProto', 1, 'repeated'],
      ['name', 'string', 2],
      ['initializer', 'TensorProto', 5, 'repeated'],
      ['input', 'ValueInfoProto', 11, 'repeated'],
      ['output', 'ValueInfoProto', 12, 'repeated'],
    ),
    // The same messages, with their parts left as bytes: both have one wire format.
    GraphParts: message(
      ['node', 'bytes', 1, 'repeated'],
      ['name', 'string', 2],
      ['initializer', 'bytes', 5, 'repeated'],
      ['input', 'bytes', 11, 'repeated'],
      ['output', 'bytes', 12, 'repeated'],
    ),
    ModelParts: message(['irVersion', 'int64', 1], ['graph', 'GraphParts', 7], ['opsetImport', 'bytes', 8, 'repeated']),
    OperatorSetIdProto: message(['domain', 'string', 1], ['version', 'int64', 2]),
    ModelProto: message(
      ['irVersion', 'int64', 1],
      ['producerName', 'string', 2],
      ['graph', 'GraphProto', 7],
      ['opsetImport', 'OperatorSetIdProto', 8, 'repeated'],
    ),
  },
});

export const ModelProto = root.lookupType('ModelProto');
export const NodeProto = root.lookupType('NodeProto');
export const TensorProto = root.lookupType('TensorProto');
export const ValueInfoProto = root.lookupType('ValueInfoProto');
export const PartsProto = root.lookupType('ModelParts');

/** What a decoded `NodeProto` says, as far as it is read. */
export interface NodeFields {
  readonly input: string[];
  readonly output: string[];
  readonly opType: string;
}

/** What a decoded `PartsProto` says. */
export interface PartsFields {
  readonly irVersion: unknown;
  readonly opsetImport: Uint8Array[];
  readonly graph: {
    readonly node: Uint8Array[];
    readonly initializer: Uint8Array[];
    readonly input: Uint8Array[];
    readonly output: Uint8Array[];
  };
}

export const DATA_TYPE = { float32: 1, int32: 6, int64: 7, bool: 9 } as const;
export type OnnxType = keyof typeof DATA_TYPE;

const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 } as const;

/** A float attribute; plain numbers are integers. */
export class FloatAttribute {
  constructor(readonly value: number) {}
}

export type AttributeValue = number | string | readonly number[] | FloatAttribute;

const textEncoder = new TextEncoder();

export function attributeProto(name: string, value: AttributeValue): object {
  if (value instanceof FloatAttribute) return { name, f: value.value, type: ATTRIBUTE_TYPE.float };
  if (typeof value === 'number') return { name, i: value, type: ATTRIBUTE_TYPE.int };
  if (typeof value === 'string') return { name, s: textEncoder.encode(value), type: ATTRIBUTE_TYPE.string };
  return { name, ints: value, type: ATTRIBUTE_TYPE.ints };
}

export const valueInfoProto = (name: string, type: OnnxType, dims: readonly number[]): object => ({
  name,
  type: { tensorType: { elemType: DATA_TYPE[type], shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
});

/** A sequence of float32 tensors. */
export const sequenceInfoProto = (name: string): object => ({
  name,
  type: { sequenceType: { elemType: { tensorType: { elemType: DATA_TYPE.float32 } } } },
});

const rawBytes = {
  float32: (values: ArrayLike<number>) => Float32Array.from(values),
  int32: (values: ArrayLike<number>) => Int32Array.from(values),
  int64: (values: ArrayLike<number>) => BigInt64Array.from(Array.from(values, BigInt)),
  bool: (values: ArrayLike<number>) => Uint8Array.from(values),
};

export function tensorProto(name: string, type: OnnxType, dims: readonly number[], values: ArrayLike<number>): object {
  const { buffer } = rawBytes[type](values);
  return { name, dims, dataType: DATA_TYPE[type], rawData: new Uint8Array(buffer) };
}
