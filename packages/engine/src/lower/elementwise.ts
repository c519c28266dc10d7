/** Kernels that treat each element alike, computed in whichever form their inputs already have. */

import { float, type Name } from '../onnx/builder.js';
import { tf } from '../tensors.js';
import type { Node, Value } from '../trace/graph.js';
import { type KernelRule, type KernelRules, type LowerContext, sameShape, uniformOf } from './context.js';

/** Makes the operation from its operands' names. */
export type Emit = (...operands: Name[]) => Name;

/** Computes `out` from `inputs`, broadcasting as tfjs does (last axes aligned). */
export function elementwise(context: LowerContext, out: Value, inputs: readonly Value[], emit: Emit): void {
  const hasBlocked = inputs.some((value) => context.has(value, 'blocked'));
  if (inputs.every(fitsBanded(context, out))) {
    context.set(out, 'banded', emit(...inputs.map((value) => context.banded(value))));
  } else if (hasBlocked && context.canBlock(out) && inputs.every(fitsBlocked(out))) {
    elementwiseBlocked(context, out, inputs, emit);
  } else if (out.shape.length === 4 && inputs.some((value) => context.isChannelsFirst(value))) {
    context.set(out, 'nchw', emit(...inputs.map((value) => channelsFirstOperand(context, value))));
  } else {
    context.set(out, 'plain', emit(...inputs.map((value) => plainOperand(context, value, out, inputs))));
  }
}

/** A uniform operand need not be expanded, as long as the others alone give the output its shape. */
function plainOperand(context: LowerContext, value: Value, out: Value, inputs: readonly Value[]): Name {
  const uniform = uniformOf(value);
  if (uniform === undefined) return context.plain(value);
  const others = inputs.filter((other) => other !== value).map((other) => [...other.shape]);
  const rest = others.reduce(
    (shape, other) => tf.backend_util.assertAndGetBroadcastShape(shape, other),
    [] as number[],
  );
  return sameShape(rest, out.shape) ? context.scalar(uniform) : context.plain(value);
}

function channelsFirstOperand(context: LowerContext, value: Value): Name {
  const uniform = uniformOf(value);
  if (uniform !== undefined) return context.scalar(uniform);
  const { shape } = value;
  if (shape.length === 0) return context.plain(value);
  if (shape.length === 1) return context.reshape(context.plain(value), [shape[0], 1, 1]);
  if (shape.length === 4) return context.nchw(value);
  const widened = [...Array<number>(4 - shape.length).fill(1), ...shape];
  return context.transpose(context.reshape(context.plain(value), widened), [0, 3, 1, 2]);
}

const isChannelVector = (value: Value, channels: number): boolean =>
  value.shape.length > 0 && value.shape.at(-1) === channels && value.shape.slice(0, -1).every((extent) => extent === 1);

const isScalar = (value: Value): boolean => uniformOf(value) !== undefined || value.shape.length === 0;

const fitsBlocked =
  (out: Value) =>
  (value: Value): boolean =>
    isScalar(value) || sameShape(value.shape, out.shape) || isChannelVector(value, out.shape[3]);

const fitsBanded =
  (context: LowerContext, out: Value) =>
  (value: Value): boolean =>
    context.isBanded(value) && sameShape(value.shape, out.shape);

function elementwiseBlocked(context: LowerContext, out: Value, inputs: readonly Value[], emit: Emit): void {
  const [count, height, width, channels] = out.shape;
  const block = context.blockSize as number;
  const hasVector = inputs.some((value) => !isScalar(value) && !sameShape(value.shape, out.shape));
  const operands = inputs.map((value) => {
    const uniform = uniformOf(value);
    if (uniform !== undefined) return context.scalar(uniform);
    if (value.shape.length === 0) return context.plain(value);
    if (!sameShape(value.shape, out.shape)) {
      return context.reshape(context.plain(value), [1, channels / block, 1, 1, block]);
    }
    const name = context.blocked(value);
    return hasVector ? context.reshape(name, [count, channels / block, height, width, block]) : name;
  });
  const result = emit(...operands);
  context.set(out, 'blocked', hasVector ? context.reshape(result, [count, channels, height, width]) : result);
}

const unary =
  (emit: (context: LowerContext, x: Name, attrs: never) => Name): KernelRule =>
  (node, context) =>
    elementwise(context, node.outputs[0], [node.inputs.x], (x) => emit(context, x, node.attrs as never));

const binary =
  (emit: (context: LowerContext, a: Name, b: Name) => Name): KernelRule =>
  (node, context) =>
    elementwise(context, node.outputs[0], [node.inputs.a, node.inputs.b], (a, b) => emit(context, a, b));

const SAME_NAME =
  'Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Elu Erf Exp Floor Log Neg Reciprocal Relu Round Selu Sigmoid Sign Sin ' +
  'Sinh Softplus Sqrt Tan Tanh';

const BINARY_OPS: Readonly<Record<string, string>> = {
  Maximum: 'Max',
  Minimum: 'Min',
  Pow: 'Pow',
  Equal: 'Equal',
  Greater: 'Greater',
  GreaterEqual: 'GreaterOrEqual',
  Less: 'Less',
  LessEqual: 'LessOrEqual',
  LogicalAnd: 'And',
  LogicalOr: 'Or',
};

const sameNamed = Object.fromEntries(
  SAME_NAME.split(' ').map((kernel) => [kernel, unary((context, x) => context.op(kernel, [x]))]),
);

const binaryNamed = Object.fromEntries(
  Object.entries(BINARY_OPS).map(([kernel, type]) => [kernel, binary((context, a, b) => context.op(type, [a, b]))]),
);

/** So steep that every normal number above zero is at 1; denormals count as zeros everywhere. */
const STEEPEST = 3e38;

/**
 * `Where` is slow; a factor is not. Where the processor computes, one pass of a steep sigmoid makes it: elsewhere a
 * comparison, which every provider has.
 */
export const positiveMask = (context: LowerContext, x: Name): Name =>
  context.blockSize === undefined
    ? context.cast(context.op('Greater', [x, context.scalar(0)]), 'float32')
    : context.op('HardSigmoid', [x], { alpha: float(STEEPEST), beta: float(0) });

function step(context: LowerContext, x: Name, { alpha }: tf.StepAttrs): Name {
  const mask = positiveMask(context, x);
  if (!alpha) return mask;
  const rest = context.op('Mul', [context.op('Sub', [context.scalar(1), mask]), context.scalar(alpha)]);
  return context.op('Add', [mask, rest]);
}

/** Operations with a neutral operand are their other operand. */
const arithmetic =
  (type: string, neutral: { a?: number; b?: number }): KernelRule =>
  (node, context) => {
    const { a, b } = node.inputs;
    const out = node.outputs[0];
    const isNeutral = (value: Value, unit: number | undefined, other: Value) =>
      unit !== undefined && uniformOf(value) === unit && sameShape(other.shape, out.shape);
    if (isNeutral(b, neutral.b, a)) return context.alias(out, a);
    if (isNeutral(a, neutral.a, b)) return context.alias(out, b);
    elementwise(context, out, [a, b], (x, y) => context.op(type, [x, y]));
  };

const castKernel: KernelRule = ({ inputs: { x }, outputs: [out] }, context) => {
  if (x.dtype === out.dtype) return context.alias(out, x);
  elementwise(context, out, [x], (name) => context.cast(name, out.dtype));
};

const filledLike =
  (value: number): KernelRule =>
  ({ outputs: [out] }, context) =>
    context.set(out, 'plain', context.filled(value, out.dtype, out.shape));

/** dy where y ≥ 0, else dy · (y + 1): the gradient of ELU from its output. */
const eluGrad: KernelRule = (node, context) =>
  elementwise(context, node.outputs[0], [node.inputs.dy, node.inputs.y], (dy, y) =>
    context.op('Mul', [dy, context.op('Add', [context.op('Min', [y, context.scalar(0)]), context.scalar(1)])]),
  );

/** The condition may have fewer axes; then it selects along the first ones. */
const select: KernelRule = ({ inputs: { condition, t, e }, outputs: [out] }, context) => {
  const missing = t.shape.length - condition.shape.length;
  const name = context.plain(condition);
  const widened = missing > 0 ? context.reshape(name, [...condition.shape, ...Array<number>(missing).fill(1)]) : name;
  context.set(out, 'plain', context.op('Where', [widened, context.plain(t), context.plain(e)]));
};

const addN: KernelRule = (node: Node, context) =>
  elementwise(context, node.outputs[0], Object.values(node.inputs), (...terms) => context.op('Sum', terms));

export const elementwiseRules: KernelRules = {
  ...sameNamed,
  ...binaryNamed,
  Add: arithmetic('Add', { a: 0, b: 0 }),
  Sub: arithmetic('Sub', { b: 0 }),
  Multiply: arithmetic('Mul', { a: 1, b: 1 }),
  RealDiv: arithmetic('Div', { b: 1 }),
  Square: unary((context, x) => context.op('Mul', [x, x])),
  Rsqrt: unary((context, x) => context.op('Reciprocal', [context.op('Sqrt', [x])])),
  Log1p: unary((context, x) => context.op('Log', [context.op('Add', [x, context.scalar(1)])])),
  Expm1: unary((context, x) => context.op('Sub', [context.op('Exp', [x]), context.scalar(1)])),
  Relu6: unary((context, x) => context.op('Clip', [x, context.scalar(0), context.scalar(6)])),
  LogicalNot: unary((context, x) => context.op('Not', [x])),
  LeakyRelu: unary((context, x, { alpha }: tf.LeakyReluAttrs) => context.op('LeakyRelu', [x], { alpha: float(alpha) })),
  ClipByValue: unary((context, x, { clipValueMin, clipValueMax }: tf.ClipByValueAttrs) =>
    context.op('Clip', [x, context.scalar(clipValueMin), context.scalar(clipValueMax)]),
  ),
  Step: unary(step),
  NotEqual: binary((context, a, b) => context.op('Not', [context.op('Equal', [a, b])])),
  SquaredDifference: binary((context, a, b) => {
    const difference = context.op('Sub', [a, b]);
    return context.op('Mul', [difference, difference]);
  }),
  FloorDiv: binary((context, a, b) => context.op('Floor', [context.op('Div', [a, b])])),
  ZerosLike: filledLike(0),
  OnesLike: filledLike(1),
  Cast: castKernel,
  EluGrad: eluGrad,
  Select: select,
  AddN: addN,
  Prelu: (node, context) =>
    elementwise(context, node.outputs[0], [node.inputs.x, node.inputs.alpha], (x, alpha) =>
      context.op('PRelu', [x, alpha]),
    ),
};
