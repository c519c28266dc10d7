/**
 * A gradient by a layer's input + what another reader of that input passes back, in a residual block the gradient that goes
 * around it: one node where the kernel adds while it stores.
 */
import type { Graph, Node, Value } from '../trace/graph.js';
import { Uses } from './uses.js';

export function fuseGradientAddend(graph: Graph): void {
  const uses = new Uses(graph);
  for (const node of graph.nodes) {
    const { a, b } = node.inputs;
    if (node.kernel !== 'Add' || a.shape.join() !== b.shape.join()) continue;
    const sides = [
      { gradient: b, addend: a },
      { gradient: a, addend: b },
    ];
    sides.some(
      ({ gradient, addend }) =>
        fusesConvolution(node, gradient, addend, uses) || fusesNorm(node, gradient, addend, uses),
    );
  }
}

/** Turns `node` into the convolution behind `gradient` with `addend` added, if that serves nobody else. */
function fusesConvolution(node: Node, gradient: Value, addend: Value, uses: Uses): boolean {
  const source = gradient.node;
  const isFree = source?.kernel === 'Conv2DBackpropInput' && !source.inputs.addend && uses.isSingle(gradient);
  const strides = [source?.attrs.strides].flat();
  if (!isFree || strides.some((stride) => stride !== 1)) return false;
  Object.assign(node, { kernel: source.kernel, attrs: source.attrs, inputs: { ...source.inputs, addend } });
  return true;
}

/** Hands `addend` to the layer normalisation behind `gradient`, which has other outputs, too, so it stays where it is. */
function fusesNorm(node: Node, gradient: Value, addend: Value, uses: Uses): boolean {
  const source = normBehind(gradient, uses);
  if (!source) return false;
  // Nothing else reads the gradient, so the addend cannot depend on it.
  source.inputs = { ...source.inputs, addend };
  const attrs = { shape: node.outputs[0].shape };
  Object.assign(node, { kernel: 'Reshape', inputs: { x: source.outputs[0] }, attrs });
  return true;
}

function normBehind(value: Value, uses: Uses): Node | undefined {
  const { node } = value;
  if (!node || !uses.isSingle(value)) return undefined;
  if (node.kernel === 'Reshape') return normBehind(node.inputs.x, uses);
  const isOpen = node.kernel === 'LayerNormGradient' && node.outputs[0] === value && !node.inputs.addend;
  return isOpen ? node : undefined;
}
