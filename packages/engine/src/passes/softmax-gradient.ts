/** y · dy − y · Σ (y · dy), tfjs's gradient of softmax, as one node. */
import type { Graph, Node, Value } from '../trace/graph.js';

export function recogniseSoftmaxGradient(graph: Graph): void {
  for (const node of graph.nodes) {
    if (node.kernel !== 'Sub') continue;
    const [product, correction] = [factorsOf(node.inputs.a), factorsOf(node.inputs.b)];
    if (!product || !correction || product.b !== correction.b || product.b.node?.kernel !== 'Softmax') continue;
    if (!isRowSum(correction.a.node, node.inputs.a) || product.a.shape.join() !== product.b.shape.join()) continue;
    Object.assign(node, { kernel: 'SoftmaxGradient', inputs: { dy: product.a, y: product.b }, attrs: {} });
  }
}

const factorsOf = ({ node }: Value): Node['inputs'] | undefined =>
  node?.kernel === 'Multiply' ? node.inputs : undefined;

/** Σ over the last axis, which stays with extent 1. */
const isRowSum = (node: Node | undefined, x: Value): boolean =>
  node?.kernel === 'Sum' && node.inputs.x === x && node.outputs[0].shape.join() === [...x.shape.slice(0, -1), 1].join();
