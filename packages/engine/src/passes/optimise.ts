/** Passes over the traced graph, each small, in an order in which the earlier ones uncover work for the later ones. */
import { type Graph, tidyGraph } from '../trace/graph.js';
import { recogniseHeads } from './attention-heads.js';
import { expandBatchNorm } from './expand-batch-norm.js';
import { fuseBias } from './fuse-bias.js';
import { fuseAddend, fuseAffineRelu } from './fuse-channel-affine.js';
import { fuseColumnSums } from './fuse-column-sums.js';
import { fuseConvolution } from './fuse-convolution.js';
import { fuseGradientAddend } from './fuse-gradient-addend.js';
import { likeliestClass } from './likeliest-class.js';
import { maskBelowMaxPool, maskFromOutput } from './relu-masks.js';
import { skipNoOps } from './skip-no-ops.js';
import { recogniseSoftmaxGradient } from './softmax-gradient.js';
import { untile } from './untile.js';

const PASSES = [
  skipNoOps,
  untile,
  expandBatchNorm,
  maskFromOutput,
  maskBelowMaxPool,
  fuseConvolution,
  fuseBias,
  fuseAddend,
  fuseAffineRelu,
  recogniseSoftmaxGradient,
  recogniseHeads,
  likeliestClass,
  fuseGradientAddend,
  fuseColumnSums,
];

export function optimise(graph: Graph): void {
  for (const pass of PASSES) {
    pass(graph);
    tidyGraph(graph);
  }
}
