/**
 * Queries, keys and values side by side come apart, and their gradients together, in one node each. Side by side they are rows of
 * columns, as the products beside them have them, and not the five axes in between.
 */
import { sizeOfShape } from '@coord/protocol';
import type { Graph, Node, Value } from '../trace/graph.js';

/** Of SplitHeads and JoinHeads: rows are [count, length], columns [3, heads, depth]. */
export interface HeadsAttrs {
  readonly count: number;
  readonly length: number;
  readonly heads: number;
  readonly depth: number;
}

const APART = '2,0,3,1,4';
const TOGETHER = '1,3,0,2,4';

/** [count, length, 3, heads, depth] transposed and split along the axis of three; concatenated and transposed back. */
export function recogniseHeads(graph: Graph): void {
  const joined = new Map<Value, Value>();
  for (const node of graph.nodes) {
    if (node.kernel === 'SplitV') splitHeads(node);
    else if (node.kernel === 'Reshape') joinHeads(node, joined);
  }
}

function splitHeads(node: Node): void {
  const source = node.inputs.x.node;
  if (node.attrs.axis !== 0 || node.outputs.length !== 3 || source?.kernel !== 'Transpose') return;
  const five = source.inputs.x;
  if (String(source.attrs.perm) !== APART || five.shape[2] !== 3 || five.node?.kernel !== 'Reshape') return;
  const joined = five.node.inputs.x;
  if (!areRows(joined, five)) return;
  Object.assign(node, { kernel: 'SplitHeads', inputs: { joined }, attrs: attrsOf(five) });
}

/** @param rows what has been joined: others may give the five axes the same shape, or one that is made of rows. */
function joinHeads(node: Node, rows: Map<Value, Value>): void {
  const five = node.inputs.x;
  const source = five.node;
  const known = rows.get(five);
  if (known) {
    node.inputs = { x: known };
    return;
  }
  if (source?.kernel !== 'Transpose' || !areRows(node.outputs[0], five)) return;
  const joined = source.inputs.x.node;
  if (String(source.attrs.perm) !== TOGETHER || joined?.kernel !== 'Concat' || joined.attrs.axis !== 0) return;
  const parts = Object.values(joined.inputs);
  if (parts.length !== 3 || parts.some(({ shape }) => shape[0] !== 1)) return;
  const [queries, keys, values] = parts;
  Object.assign(node, { kernel: 'JoinHeads', inputs: { queries, keys, values }, attrs: attrsOf(five) });
  rows.set(five, node.outputs[0]);
}

/** The five axes as two. */
const areRows = ({ shape }: Value, { shape: five }: Value): boolean =>
  five.length === 5 && shape.length === 2 && shape[1] === sizeOfShape(five.slice(2));

function attrsOf({ shape: [count, length, , heads, depth] }: Value): Node['attrs'] {
  const attrs: HeadsAttrs = { count, length, heads, depth };
  return { ...attrs };
}
