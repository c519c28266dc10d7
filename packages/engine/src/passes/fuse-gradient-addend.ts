/** Gradient of a convolution by its input + what another reader of that input passes back: one node, as the kernel adds while it stores. */
import type { Graph, Node, Value } from '../trace/graph.js';
import { Uses } from './uses.js';

export function fuseGradientAddend(graph: Graph): void {
  const uses = new Uses(graph);
  for (const node of graph.nodes) {
    if (node.kernel !== 'Add') continue;
    const { a, b } = node.inputs;
    if (!takesAddend(node, b, a, uses)) takesAddend(node, a, b, uses);
  }
}

/** Turns `node` into the convolution behind `gradient` with `addend` added, if that serves nobody else. */
function takesAddend(node: Node, gradient: Value, addend: Value, uses: Uses): boolean {
  const source = gradient.node;
  const isFree = source?.kernel === 'Conv2DBackpropInput' && !source.inputs.addend && uses.isSingle(gradient);
  const strides = [source?.attrs.strides].flat();
  if (!isFree || strides.some((stride) => stride !== 1) || addend.shape.join() !== gradient.shape.join()) return false;
  if (addend === gradient) return false;
  Object.assign(node, { kernel: source.kernel, attrs: source.attrs, inputs: { ...source.inputs, addend } });
  return true;
}
