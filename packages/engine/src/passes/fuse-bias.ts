/** Matrix product + bias as one node. Dense layers on sequences reshape between the two; the reshape then comes last. */
import type { Graph, Node, Value } from '../trace/graph.js';
import { Uses } from './uses.js';

export function fuseBias(graph: Graph): void {
  const uses = new Uses(graph);
  for (const node of graph.nodes) {
    if (node.kernel !== 'Add') continue;
    const { a, b } = node.inputs;
    const product = productBehind(a, uses);
    const bias = product && vectorBehind(b, a.shape[a.shape.length - 1]);
    if (!product || !bias || node.outputs[0].shape.join() !== a.shape.join()) continue;
    product.kernel = '_FusedMatMul';
    product.inputs = { ...product.inputs, bias };
    product.attrs = { ...product.attrs, activation: 'linear' };
    Object.assign(node, { kernel: 'Reshape', inputs: { x: product.outputs[0] }, attrs: { shape: a.shape } });
  }
}

/** The product of two matrices whose result, reshaped or not, is `value` and nothing else. */
function productBehind(value: Value, uses: Uses): Node | undefined {
  if (!uses.isSingle(value)) return undefined;
  const { node } = value;
  if (node?.kernel === 'Reshape') {
    const source = node.inputs.x;
    const keepsColumns = source.shape[source.shape.length - 1] === value.shape[value.shape.length - 1];
    return keepsColumns ? productBehind(source, uses) : undefined;
  }
  const isMatrix = value.shape.slice(0, -2).every((extent) => extent === 1);
  return node && isPlainProduct(node) && isMatrix ? node : undefined;
}

/** tfjs calls some products fused although nothing is. */
const isPlainProduct = ({ kernel, inputs, attrs }: Node): boolean =>
  kernel === 'BatchMatMul' ||
  (kernel === '_FusedMatMul' && !inputs.bias && (!attrs.activation || attrs.activation === 'linear'));

/** The vector that `value` is, or of which it is a reshape to [1, …, 1, length]. */
function vectorBehind(value: Value, length: number): Value | undefined {
  if (value.shape.length === 1) return value.shape[0] === length ? value : undefined;
  return value.node?.kernel === 'Reshape' && value.shape.slice(0, -1).every((extent) => extent === 1)
    ? vectorBehind(value.node.inputs.x, length)
    : undefined;
}
