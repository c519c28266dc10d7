// Floating-point operations of a gradient, counted in its traced graph.
import { flopsOf as flopsOfNode } from '../dist/inspect/flops.js';
import { prepareStep } from '../dist/step/prepare.js';
import { traceGradient } from '../dist/step/trace-step.js';

export function flopsOf(spec, count) {
  const { graph } = traceGradient(prepareStep(spec), count);
  return graph.nodes.reduce((sum, node) => sum + flopsOfNode(node), 0);
}
