/** Passes over the traced graph, each small, in an order in which the earlier ones uncover work for the later ones. */
import { type Graph, tidyGraph } from '../trace/graph.js';
import { fuseConvolution } from './fuse-convolution.js';
import { maskBelowMaxPool, maskFromOutput } from './relu-masks.js';
import { skipNoOps } from './skip-no-ops.js';

const PASSES = [skipNoOps, maskFromOutput, maskBelowMaxPool, fuseConvolution];

export function optimise(graph: Graph): void {
  for (const pass of PASSES) {
    pass(graph);
    tidyGraph(graph);
  }
}
