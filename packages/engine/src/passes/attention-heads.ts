/** Queries, keys and values side by side come apart, and their gradients together, in one node each. */
import type { Graph, Node } from '../trace/graph.js';

const APART = '2,0,3,1,4';
const TOGETHER = '1,3,0,2,4';

/** [count, length, 3, heads, depth] transposed and split along the axis of three; concatenated and transposed back. */
export function recogniseHeads(graph: Graph): void {
  for (const node of graph.nodes) {
    if (node.kernel === 'SplitV') splitHeads(node);
    else if (node.kernel === 'Transpose') joinHeads(node);
  }
}

function splitHeads(node: Node): void {
  const source = node.inputs.x.node;
  if (node.attrs.axis !== 0 || node.outputs.length !== 3 || source?.kernel !== 'Transpose') return;
  if (String(source.attrs.perm) !== APART || source.inputs.x.shape[2] !== 3) return;
  Object.assign(node, { kernel: 'SplitHeads', inputs: { joined: source.inputs.x }, attrs: {} });
}

function joinHeads(node: Node): void {
  const source = node.inputs.x.node;
  if (String(node.attrs.perm) !== TOGETHER || source?.kernel !== 'Concat' || source.attrs.axis !== 0) return;
  const parts = Object.values(source.inputs);
  if (parts.length !== 3 || parts.some(({ shape }) => shape[0] !== 1)) return;
  const [queries, keys, values] = parts;
  Object.assign(node, { kernel: 'JoinHeads', inputs: { queries, keys, values }, attrs: {} });
}
