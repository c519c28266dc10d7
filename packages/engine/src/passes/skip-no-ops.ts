/** Casts to the same type and reshapes to the same shape disappear; of a chain of reshapes the last remains. */
import type { Graph, Value } from '../trace/graph.js';

export function skipNoOps(graph: Graph): void {
  for (const node of graph.nodes) {
    for (const [name, value] of Object.entries(node.inputs)) node.inputs[name] = sourceOf(value);
    if (node.kernel === 'Reshape') node.inputs.x = throughReshapes(node.inputs.x);
  }
  for (const output of graph.outputs) output.value = sourceOf(output.value);
}

function sourceOf(value: Value): Value {
  const { node } = value;
  if (!node || (node.kernel !== 'Cast' && node.kernel !== 'Reshape')) return value;
  const source = sourceOf(node.inputs.x);
  const isSame = source.dtype === value.dtype && source.shape.join() === value.shape.join();
  return isSame ? source : value;
}

function throughReshapes(value: Value): Value {
  return value.node?.kernel === 'Reshape' ? throughReshapes(value.node.inputs.x) : value;
}
