/**
 * A model taken apart: every part as the bytes that it is, beside the names by which parts refer to each other. What is put
 * together from parts again lost nothing that this reader does not know.
 */
import type { TensorInfo } from './builder.js';
import {
  type NodeFields,
  NodeProto,
  type PartsFields,
  PartsProto,
  TensorProto,
  ValueInfoProto,
  valueInfoProto,
} from './schema.js';

export interface NodePart {
  readonly bytes: Uint8Array;
  readonly type: string;
  /** Names of values; an input that is left out has none. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export interface ModelParts {
  /** In an order in which every node stands after its inputs. */
  readonly nodes: readonly NodePart[];
  /** By name, like the inputs and the outputs. */
  readonly initializers: ReadonlyMap<string, Uint8Array>;
  readonly inputs: ReadonlyMap<string, Uint8Array>;
  readonly outputs: ReadonlyMap<string, Uint8Array>;
  /** The model without its graph. */
  readonly frame: Omit<PartsFields, 'graph'>;
}

/** What a smaller model is put together from. */
export interface Selection {
  readonly nodes: readonly NodePart[];
  /** Names of values that the nodes read; those that are inputs or initializers of the whole are so here. */
  readonly reads: Iterable<string>;
  /** What the whole computes and this model is given. */
  readonly given: readonly TensorInfo[];
  /** Names of values that the nodes compute, in this order. */
  readonly outputs: Iterable<string>;
}

/** @throws Error when the bytes are no model. */
export function takeApart(model: Uint8Array): ModelParts {
  const { graph, ...frame } = PartsProto.decode(model) as unknown as PartsFields;
  return {
    nodes: graph.node.map(nodePart),
    initializers: byName(graph.initializer, TensorProto),
    inputs: byName(graph.input, ValueInfoProto),
    outputs: byName(graph.output, ValueInfoProto),
    frame,
  };
}

export function putTogether(parts: ModelParts, { nodes, reads, given, outputs }: Selection): Uint8Array {
  const graph = {
    name: 'stage',
    node: nodes.map(({ bytes }) => bytes),
    initializer: partsNamed(reads, parts.initializers),
    input: [...partsNamed(reads, parts.inputs), ...given.map(valueInfo)],
    // An output that the whole does not have gets its type from the node that computes it.
    output: [...outputs].map((name) => parts.outputs.get(name) ?? ValueInfoProto.encode({ name }).finish()),
  };
  return PartsProto.encode({ ...parts.frame, graph }).finish();
}

/** Elements of an initializer, as the bytes that they are in memory. */
export const elementsOf = (initializer: Uint8Array): Uint8Array =>
  (TensorProto.decode(initializer) as unknown as { rawData: Uint8Array }).rawData;

const partsNamed = (names: Iterable<string>, parts: ReadonlyMap<string, Uint8Array>): Uint8Array[] =>
  [...names].flatMap((name) => parts.get(name) ?? []);

const valueInfo = ({ name, type, dims }: TensorInfo): Uint8Array =>
  ValueInfoProto.encode(valueInfoProto(name, type, dims)).finish();

function nodePart(bytes: Uint8Array): NodePart {
  const { input, output, opType } = NodeProto.decode(bytes) as unknown as NodeFields;
  return { bytes, type: opType, inputs: input.filter((name) => name !== ''), outputs: output };
}

type Named = typeof TensorProto;

const byName = (parts: readonly Uint8Array[], type: Named): Map<string, Uint8Array> =>
  new Map(parts.map((bytes) => [(type.decode(bytes) as unknown as { name: string }).name, bytes]));
