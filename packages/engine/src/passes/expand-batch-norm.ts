/**
 * FusedBatchNorm as arithmetic: y = x · a + b with a = scale / √(variance + ε) and b = offset − mean · a. Where the statistics are
 * one a channel, a and b are too, and only two passes over x remain. Elsewhere (layer normalisation) mean is subtracted first.
 */
import type { Graph, Node, Value } from '../trace/graph.js';

const DEFAULT_EPSILON = 0.001;

export function expandBatchNorm(graph: Graph): void {
  for (const node of [...graph.nodes]) {
    if (node.kernel === 'FusedBatchNorm') expand(graph, node);
  }
}

function expand(graph: Graph, node: Node): void {
  const { x, mean, variance, offset, scale } = node.inputs;
  const epsilon = (node.attrs.varianceEpsilon as number | undefined) ?? DEFAULT_EPSILON;
  const guarded = binary(graph, 'Add', variance, scalar(graph, epsilon));
  const inverse = graph.insert('Rsqrt', { x: guarded }, {}, guarded);
  if (mean.shape.length === 1) {
    const factor = scale ? binary(graph, 'Multiply', inverse, scale) : inverse;
    const shift = binary(graph, 'Multiply', mean, factor);
    const addend = offset ? binary(graph, 'Sub', offset, shift) : graph.insert('Neg', { x: shift }, {}, shift);
    become(node, 'Add', graph.insert('Multiply', { a: x, b: factor }, {}, x), addend);
    return;
  }
  const centred = graph.insert('Sub', { a: x, b: mean }, {}, x);
  const normal = graph.insert('Multiply', { a: centred, b: inverse }, {}, x);
  const scaled = scale ? graph.insert('Multiply', { a: normal, b: scale }, {}, x) : normal;
  become(node, 'Add', scaled, offset ?? scalar(graph, 0));
}

/** Operands of equal shape, or the second a scalar. */
const binary = (graph: Graph, kernel: string, a: Value, b: Value): Value => graph.insert(kernel, { a, b }, {}, a);

const scalar = (graph: Graph, value: number): Value =>
  graph.value({ kind: 'constant', shape: [], dtype: 'float32', data: [value], uniform: value });

const become = (node: Node, kernel: string, a: Value, b: Value): void => {
  Object.assign(node, { kernel, attrs: {}, inputs: { a, b } });
};
