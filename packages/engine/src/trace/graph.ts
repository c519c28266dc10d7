/** The recorded step: tfjs kernels as nodes, single-assignment values between them. */

import { CoordError } from '@coord/protocol';
import type { DataType } from '@tensorflow/tfjs-core';

export type ValueKind = 'input' | 'weight' | 'constant' | 'result';

export interface Value {
  readonly id: number;
  readonly kind: ValueKind;
  readonly shape: readonly number[];
  readonly dtype: DataType;
  /** Name of an input or a weight. */
  readonly name?: string;
  /** Elements of a constant. */
  readonly data?: ArrayLike<number>;
  /** The one value that all elements of a constant have, where that is so. */
  readonly uniform?: number;
  /** What computes a result. */
  readonly node?: Node;
}

export interface Node {
  kernel: string;
  /** By tfjs's input names; list inputs by their index. */
  inputs: Record<string, Value>;
  attrs: Readonly<Record<string, unknown>>;
  readonly outputs: Value[];
  /** What the layer is called whose `call` made the node, or whose gradient it is part of; undefined outside of layers. */
  readonly layer?: string;
}

export interface Output {
  readonly name: string;
  value: Value;
}

export class Graph {
  nodes: Node[] = [];
  outputs: Output[] = [];
  private nextId = 0;

  value(fields: Omit<Value, 'id'>): Value {
    return { id: this.nextId++, ...fields };
  }

  /** Appends a node of one output to the list; call `tidyGraph` once all changes are made. */
  insert(kernel: string, inputs: Node['inputs'], attrs: Node['attrs'], like: Pick<Value, 'shape' | 'dtype'>): Value {
    const node: Node = { kernel, inputs, attrs, outputs: [] };
    const value = this.value({ kind: 'result', shape: like.shape, dtype: like.dtype, node });
    node.outputs.push(value);
    this.nodes.push(node);
    return value;
  }
}

/** Drops what no output needs and sorts the rest so that every node stands after its inputs. */
export function tidyGraph(graph: Graph): void {
  const done = new Set<Node>();
  const sorted: Node[] = [];
  const pending = graph.outputs.map((output) => output.value.node).reverse();
  // An explicit stack: unrolled recurrences are deeper than the call stack.
  while (pending.length > 0) {
    const node = pending[pending.length - 1];
    const missing = node && !done.has(node) ? missingInputs(node, done) : [];
    if (missing.length > 0) {
      pending.push(...missing);
      continue;
    }
    pending.pop();
    if (!node || done.has(node)) continue;
    done.add(node);
    sorted.push(node);
  }
  graph.nodes = sorted;
}

function missingInputs(node: Node, done: ReadonlySet<Node>): Node[] {
  const producers = Object.values(node.inputs).map((value) => value.node);
  return producers.filter((producer): producer is Node => producer !== undefined && !done.has(producer));
}

export const placeOf = (node: Pick<Node, 'kernel' | 'layer'>): string =>
  `${node.layer ?? 'the step'}, kernel ${node.kernel}`;

/** The step cannot be compiled; says where, and that the eager engine still runs it. */
export function unsupported(where: string, why: string, cause?: unknown): CoordError {
  return new CoordError('ENGINE_UNSUPPORTED', `the model cannot be compiled: ${where}: ${why}`, {
    hint: 'engine: tfjs-cpu still runs it, slowly; or replace the layer.',
    facts: { where },
    cause,
  });
}
