// Floating-point operations of a gradient, counted in its traced graph: two for each multiply-add of products and convolutions.
import { prepareStep } from '../dist/step/prepare.js';
import { traceGradient } from '../dist/step/trace-step.js';

const sizeOf = (shape) => shape.reduce((product, extent) => product * extent, 1);

/** Multiply-adds of the kernels that have many. */
const MULTIPLY_ADDS = {
  BatchMatMul: ({ inputs: { a }, attrs, outputs: [out] }) => sizeOf(out.shape) * a.shape.at(attrs.transposeA ? -2 : -1),
  Conv2D: ({ inputs: { filter }, outputs: [out] }) => sizeOf(out.shape) * sizeOf(filter.shape.slice(0, 3)),
  Conv2DBackpropInput: ({ inputs: { dy, filter } }) => sizeOf(dy.shape) * sizeOf(filter.shape.slice(0, 3)),
  Conv2DBackpropFilter: ({ inputs: { dy }, outputs: [out] }) => sizeOf(dy.shape) * sizeOf(out.shape.slice(0, 3)),
};

export function flopsOf(spec, count) {
  const { graph } = traceGradient(prepareStep(spec), count);
  return graph.nodes.reduce((sum, node) => sum + 2 * (MULTIPLY_ADDS[node.kernel]?.(node) ?? 0), 0);
}
