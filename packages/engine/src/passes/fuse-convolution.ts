/** Convolution + bias (+ relu) as one node. tfjs fuses them in inference only. */
import type { Graph, Node } from '../trace/graph.js';
import { Uses } from './uses.js';

export function fuseConvolution(graph: Graph): void {
  const uses = new Uses(graph);
  for (const node of graph.nodes) {
    if (node.kernel !== 'Add') continue;
    const { a, b: bias } = node.inputs;
    const convolution = a.node;
    if (convolution?.kernel !== 'Conv2D' || !isBias(bias.shape, a.shape) || !uses.isSingle(a)) continue;
    const inputs = { x: convolution.inputs.x, filter: convolution.inputs.filter, bias };
    becomeFused(node, inputs, convolution.attrs, 'linear');
    const sum = node.outputs[0];
    const [reader] = uses.of(sum);
    if (uses.isSingle(sum) && reader.kernel === 'Relu') becomeFused(reader, inputs, convolution.attrs, 'relu');
  }
}

const isBias = (shape: readonly number[], out: readonly number[]): boolean =>
  shape.length === 1 && shape[0] === out[out.length - 1];

function becomeFused(node: Node, inputs: Node['inputs'], attrs: Node['attrs'], activation: string): void {
  node.kernel = 'FusedConv2D';
  node.inputs = { ...inputs };
  node.attrs = { ...attrs, activation };
}
