/** Enlarging images by whole factors, each pixel becoming a block. */
import type { Node, Value } from '../trace/graph.js';
import { placeOf, unsupported } from '../trace/graph.js';
import type { KernelRule, KernelRules } from './context.js';

/** @throws CoordError ENGINE_UNSUPPORTED when it is no enlargement by whole factors. */
function factorsOf(node: Node, small: Value, large: Value): [number, number] {
  const factors: [number, number] = [large.shape[1] / small.shape[1], large.shape[2] / small.shape[2]];
  if (factors.every(Number.isInteger) && !node.attrs.alignCorners) return factors;
  throw unsupported(placeOf(node), 'only enlarging by whole factors is lowered');
}

const enlarge: KernelRule = (node, context) => {
  const { images } = node.inputs;
  const [out] = node.outputs;
  const scales = context.onnx.constant('float32', [1, 1, ...factorsOf(node, images, out)], [4]);
  const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
  context.set(out, 'nchw', context.op('Resize', [context.nchw(images), '', scales], attributes));
};

export const resizeRules: KernelRules = { ResizeNearestNeighbor: enlarge };
