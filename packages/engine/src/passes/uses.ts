/** Who reads a value. */
import type { Graph, Node, Value } from '../trace/graph.js';

export class Uses {
  private readonly readers = new Map<Value, Node[]>();
  private readonly outputs: ReadonlySet<Value>;

  constructor(graph: Graph) {
    for (const node of graph.nodes) {
      for (const value of Object.values(node.inputs)) this.readers.set(value, [...this.of(value), node]);
    }
    this.outputs = new Set(graph.outputs.map((output) => output.value));
  }

  of(value: Value): readonly Node[] {
    return this.readers.get(value) ?? [];
  }

  /** True when exactly one node reads it, once, and it is no output of the graph. */
  isSingle(value: Value): boolean {
    return this.of(value).length === 1 && !this.outputs.has(value);
  }
}
