/** Activations that tfjs has fused into a product or convolution (it does so in inference). */
import { float, type Name } from '../onnx/builder.js';
import { type Node, placeOf, unsupported } from '../trace/graph.js';
import type { LowerContext } from './context.js';

const OPERATIONS: Readonly<Record<string, string>> = { relu: 'Relu', elu: 'Elu', sigmoid: 'Sigmoid' };

/** @param node the fused kernel, whose attributes say which activation. */
export function activated(context: LowerContext, name: Name, node: Node): Name {
  const { activation, leakyreluAlpha } = node.attrs as { activation?: string; leakyreluAlpha?: number };
  if (!activation || activation === 'linear') return name;
  if (activation === 'relu6') return context.op('Clip', [name, context.scalar(0), context.scalar(6)]);
  if (activation === 'leakyrelu') return context.op('LeakyRelu', [name], { alpha: float(leakyreluAlpha ?? 0.2) });
  const operation = OPERATIONS[activation];
  if (!operation) throw unsupported(placeOf(node), `there is no lowering for the fused activation ${activation}`);
  return context.op(operation, [name]);
}
