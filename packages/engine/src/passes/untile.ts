/**
 * A Tile that only repeats axes of extent 1 is what broadcasting does anyway; elementwise kernels can read its input, as
 * long as another operand gives the result its shape. tfjs tiles whole layer normalisations.
 */
import { tf } from '../tensors.js';
import type { Graph, Node, Value } from '../trace/graph.js';

const BROADCASTING = new Set([
  'Add',
  'Sub',
  'Multiply',
  'RealDiv',
  'SquaredDifference',
  'Maximum',
  'Minimum',
  'FusedBatchNorm',
]);

export function untile(graph: Graph): void {
  for (const node of graph.nodes) {
    if (!BROADCASTING.has(node.kernel)) continue;
    for (const [name, value] of Object.entries(node.inputs)) {
      const source = broadcastSource(value);
      if (source && keepsShape(node, name, source)) node.inputs[name] = source;
    }
  }
}

function broadcastSource({ node }: Value): Value | undefined {
  if (node?.kernel !== 'Tile') return undefined;
  const { reps } = node.attrs as unknown as tf.TileAttrs;
  const { x } = node.inputs;
  return x.shape.every((extent, axis) => extent === 1 || reps[axis] === 1) ? x : undefined;
}

function keepsShape(node: Node, name: string, source: Value): boolean {
  const shapes = Object.entries(node.inputs).map(([other, value]) => (other === name ? source : value).shape);
  const result = shapes.reduce<number[]>(
    (shape, next) => tf.backend_util.assertAndGetBroadcastShape(shape, [...next]),
    [],
  );
  return result.join() === node.outputs[0].shape.join();
}
