/**
 * Masks of relu. tfjs takes the mask from relu's input, which keeps that alive beside the output; the output says the same,
 * and lets convolution, bias and relu fuse.
 */
import type { Graph, Node } from '../trace/graph.js';
import { Uses } from './uses.js';

const isStep = (node: Node | undefined): node is Node => node?.kernel === 'Step' && !node.attrs.alpha;

/** Step(x) → Step(relu(x)) where relu(x) is computed anyway. */
export function maskFromOutput(graph: Graph): void {
  const uses = new Uses(graph);
  for (const node of graph.nodes.filter(isStep)) {
    const relu = uses.of(node.inputs.x).find((reader) => reader.kernel === 'Relu');
    if (relu) node.inputs.x = relu.outputs[0];
  }
}

/**
 * MaxPoolGrad(dy) · Step(x) as one node: a maximum is positive exactly where the element it came from is, so the mask can be
 * applied to the pooled tensor, which is smaller by the window's area.
 */
export function maskBelowMaxPool(graph: Graph): void {
  const uses = new Uses(graph);
  for (const node of graph.nodes) {
    const pair = node.kernel === 'Multiply' ? poolAndMask(node) : undefined;
    if (!pair || !uses.isSingle(pair.pool.outputs[0])) continue;
    const { attrs, inputs } = pair.pool;
    Object.assign(node, { kernel: 'MaxPoolGrad', attrs: { ...attrs, isMasked: true }, inputs: { ...inputs } });
  }
}

function poolAndMask({ inputs: { a, b } }: Node): { pool: Node } | undefined {
  for (const [left, right] of [
    [a.node, b.node],
    [b.node, a.node],
  ]) {
    if (left?.kernel === 'MaxPoolGrad' && isStep(right) && right.inputs.x === left.inputs.input) return { pool: left };
  }
  return undefined;
}
