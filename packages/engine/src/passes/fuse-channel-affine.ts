/** x · scale + shift (+ another tensor) (, relu) as one node: what follows a batch normalisation in residual networks. */
import type { Graph, Node, Value } from '../trace/graph.js';
import { Uses } from './uses.js';

export function fuseAddend(graph: Graph): void {
  const uses = new Uses(graph);
  for (const node of graph.nodes) {
    if (node.kernel !== 'Add') continue;
    const { a, b } = node.inputs;
    if (!takesAddend(node, b, a, uses)) takesAddend(node, a, b, uses);
  }
}

/** Turns `node` into the affine node behind `affine` with `addend` added, if that node serves nobody else. */
function takesAddend(node: Node, affine: Value, addend: Value, uses: Uses): boolean {
  const source = affine.node;
  const isFree = source?.kernel === 'ChannelAffine' && !source.inputs.addend && uses.isSingle(affine);
  if (!isFree || addend.shape.join() !== affine.shape.join() || affine === addend) return false;
  Object.assign(node, { kernel: 'ChannelAffine', attrs: {}, inputs: { ...source.inputs, addend } });
  return true;
}

export function fuseAffineRelu(graph: Graph): void {
  const uses = new Uses(graph);
  for (const node of graph.nodes) {
    const source = node.kernel === 'Relu' ? node.inputs.x.node : undefined;
    if (source?.kernel !== 'ChannelAffine' || !uses.isSingle(node.inputs.x)) continue;
    Object.assign(node, { kernel: 'ChannelAffine', attrs: { activation: 'relu' }, inputs: { ...source.inputs } });
  }
}
