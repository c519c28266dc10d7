/** Cross-entropy finds the largest logit anyway: an arg max over the same logits is its last output. */
import type { Graph, Node, Value } from '../trace/graph.js';

export function likeliestClass(graph: Graph): void {
  const losses = new Map<Value, Node>();
  for (const node of graph.nodes) if (node.kernel === 'CrossEntropy') losses.set(node.inputs.logits, node);
  for (const node of graph.nodes) {
    const loss = node.kernel === 'ArgMax' && isLastAxis(node) ? losses.get(node.inputs.x) : undefined;
    if (!loss) continue;
    const attrs = { shape: node.outputs[0].shape };
    Object.assign(node, { kernel: 'Reshape', inputs: { x: loss.outputs[3] }, attrs });
  }
}

const isLastAxis = ({ attrs, inputs }: Node): boolean => {
  const axis = [attrs.axis].flat()[0];
  return axis === -1 || axis === inputs.x.shape.length - 1;
};
