/** Matrix products and convolutions. */

import { convolutionInfo } from '../../lower/geometry.js';
import { tf } from '../../tensors.js';
import { forKernels, type ShapeRule, type ShapeRules } from '../shape-rule.js';

const float = (shape: number[]) => ({ shape, dtype: 'float32' as const });

const product: ShapeRule = ({ a, b }, attrs: { transposeA: boolean; transposeB: boolean }) => {
  const rank = a.shape.length;
  const batch = tf.backend_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const rows = a.shape[attrs.transposeA ? rank - 1 : rank - 2];
  const columns = b.shape[b.shape.length - (attrs.transposeB ? 2 : 1)];
  return float([...batch, rows, columns]);
};

const convolved =
  (depthwise: boolean): ShapeRule =>
  ({ x, filter }, attrs: tf.Conv2DAttrs) =>
    float(convolutionInfo(x.shape, filter.shape, attrs, depthwise).outShape);

const filterGradient: ShapeRule = (_, { filterShape }: { filterShape: number[] }) => float(filterShape);
const inputGradient: ShapeRule = (_, { inputShape }: { inputShape: number[] }) => float(inputShape);

export const linearShapes: ShapeRules = {
  ...forKernels('BatchMatMul _FusedMatMul', product),
  ...forKernels('Conv2D FusedConv2D', convolved(false)),
  ...forKernels('DepthwiseConv2dNative FusedDepthwiseConv2D', convolved(true)),
  ...forKernels('Conv2DBackpropFilter DepthwiseConv2dNativeBackpropFilter', filterGradient),
  ...forKernels('Conv2DBackpropInput DepthwiseConv2dNativeBackpropInput', inputGradient),
};
