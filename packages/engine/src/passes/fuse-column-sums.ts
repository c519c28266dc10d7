/** A gradient over rows and the sum of its columns, which is a bias's gradient, as one node: one pass over memory instead of two. */
import { sizeOfShape } from '@coord/protocol';
import { reducedAxes } from '../lower/axes.js';
import type { Graph, Node, Value } from '../trace/graph.js';

/** Kernels that can give out the sums of their first output's columns, as their last output. */
const SUMMING: ReadonlySet<string> = new Set(['GeluGradient', 'LayerNormGradient', 'JoinHeads']);

export function fuseColumnSums(graph: Graph): void {
  for (const node of graph.nodes) {
    const source = isColumnSum(node) ? throughReshapes(node.inputs.x) : undefined;
    const producer = source?.node;
    if (!producer || !SUMMING.has(producer.kernel) || producer.attrs.hasSums || source !== producer.outputs[0])
      continue;
    const width = node.inputs.x.shape.at(-1) as number;
    if (width !== source.shape.at(-1)) continue;
    const sums = graph.value({ kind: 'result', shape: [width], dtype: 'float32', node: producer });
    producer.outputs.push(sums);
    producer.attrs = { ...producer.attrs, hasSums: true };
    Object.assign(node, { kernel: 'Reshape', inputs: { x: sums }, attrs: { shape: node.outputs[0].shape } });
  }
}

/** Over all axes but the last. */
function isColumnSum({ kernel, attrs, inputs, outputs }: Node): boolean {
  if (kernel !== 'Sum' || inputs.x.shape.length < 2) return false;
  const { shape } = inputs.x;
  const reducesLast = reducedAxes(attrs, shape).includes(shape.length - 1);
  return !reducesLast && sizeOfShape(outputs[0].shape) === shape.at(-1);
}

function throughReshapes(value: Value): Value {
  return value.node?.kernel === 'Reshape' ? throughReshapes(value.node.inputs.x) : value;
}
