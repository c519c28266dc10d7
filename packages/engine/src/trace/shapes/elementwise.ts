import type { DataType } from '@tensorflow/tfjs-core';
import { tf } from '../../tensors.js';
import { forKernels, type ShapeRule, type ShapeRules } from '../shape-rule.js';

const like =
  (name: string): ShapeRule =>
  (inputs) => ({ shape: inputs[name].shape, dtype: inputs[name].dtype });

const broadcast =
  (dtype?: DataType): ShapeRule =>
  ({ a, b }) => ({
    shape: tf.backend_util.assertAndGetBroadcastShape(a.shape, b.shape),
    dtype: dtype ?? a.dtype,
  });

const UNARY =
  'Abs Acos Acosh Asin Asinh Atan Atanh Ceil ClipByValue Cos Cosh Elu Erf Exp Expm1 Floor LeakyRelu Log Log1p LogicalNot ' +
  'Neg OnesLike Prelu Reciprocal Relu Relu6 Round Rsqrt Selu Sigmoid Sign Sin Sinh Softplus Sqrt Square Step Tan Tanh ' +
  'ZerosLike Reverse';

export const elementwiseShapes: ShapeRules = {
  ...forKernels(UNARY, like('x')),
  ...forKernels('Softmax LogSoftmax', like('logits')),
  ...forKernels('EluGrad', like('dy')),
  ...forKernels('Add Sub Multiply RealDiv Maximum Minimum Pow SquaredDifference FloorDiv', broadcast()),
  ...forKernels('Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr', broadcast('bool')),
  AddN: like('0'),
  Cast: ({ x }, attrs: { dtype: DataType }) => ({ shape: x.shape, dtype: attrs.dtype }),
  Select: ({ t, e }) => ({ shape: t.shape, dtype: tf.upcastType(t.dtype, e.dtype) }),
};
