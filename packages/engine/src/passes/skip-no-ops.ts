/** Casts to the same type, reshapes to the same shape and transpositions of no axis disappear; of a chain of reshapes the last remains. */
import type { Graph, Node, Value } from '../trace/graph.js';

export function skipNoOps(graph: Graph): void {
  for (const node of graph.nodes) {
    for (const [name, value] of Object.entries(node.inputs)) node.inputs[name] = sourceOf(value);
    if (node.kernel === 'Reshape') node.inputs.x = throughReshapes(node.inputs.x);
  }
  for (const output of graph.outputs) output.value = sourceOf(output.value);
}

function sourceOf(value: Value): Value {
  const { node } = value;
  if (!node || !isNoOp(node)) return value;
  const source = sourceOf(node.inputs.x);
  const isSame = source.dtype === value.dtype && source.shape.join() === value.shape.join();
  return isSame ? source : value;
}

function isNoOp({ kernel, attrs }: Node): boolean {
  if (kernel === 'Transpose') return (attrs.perm as number[]).every((axis, index) => axis === index);
  return kernel === 'Cast' || kernel === 'Reshape';
}

function throughReshapes(value: Value): Value {
  return value.node?.kernel === 'Reshape' ? throughReshapes(value.node.inputs.x) : value;
}
