/** A traced graph as an ONNX model. */
import { sizeOfShape } from '@coord/protocol';
import { KERNEL_BYTES } from '../kernels/wasm.js';
import { type Name, OnnxBuilder, type OwnNode, type TensorInfo } from '../onnx/builder.js';
import { planBound } from '../segments/memory-plan.js';
import { type Graph, placeOf, unsupported } from '../trace/graph.js';
import { arrangeRules } from './arrange.js';
import { type KernelRules, LowerContext, onnxType } from './context.js';
import { depthwiseRules } from './convolution/depthwise.js';
import { convolutionFilterGradient } from './convolution/filter-gradient.js';
import { convolution } from './convolution/forward.js';
import { convolutionInputGradient } from './convolution/input-gradient.js';
import { elementwiseRules } from './elementwise.js';
import { fusedRules } from './fused-gradients.js';
import { indexRules } from './index-kernels.js';
import { matmulRules } from './matmul.js';
import { ownRules } from './own-kernels.js';
import { poolingRules } from './pooling.js';
import { reduceRules } from './reduce.js';
import { resizeRules } from './resize.js';
import { volumeRules } from './volume.js';

export const KERNEL_RULES: KernelRules = {
  ...elementwiseRules,
  ...reduceRules,
  ...arrangeRules,
  ...indexRules,
  ...matmulRules,
  ...poolingRules,
  ...depthwiseRules,
  ...resizeRules,
  ...volumeRules,
  ...ownRules,
  ...fusedRules,
  Conv2D: convolution,
  FusedConv2D: convolution,
  Conv2DBackpropInput: convolutionInputGradient,
  Conv2DBackpropFilter: convolutionFilterGradient,
};

export interface LowerOptions {
  /** Channels of a block in ONNX Runtime's blocked layout; undefined for plain ONNX. */
  readonly blockSize?: number | undefined;
  /** Elements from which on an operation is left to a kernel of ours that has one; undefined where there are no kernels. */
  readonly kernelsFrom?: number | undefined;
  /** Threads that an operation may run on; 1 unless told. */
  readonly threads?: number | undefined;
}

export interface LoweredModel {
  /** ONNX protobuf. */
  readonly bytes: Uint8Array;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly operationCount: number;
  /** What kernels of ours compute between operations of ONNX Runtime, in an order in which it can be computed. */
  readonly ownNodes: readonly OwnNode[];
  /** Outputs that they compute, and the names that they have there. */
  readonly aliases: ReadonlyMap<Name, Name>;
}

/** All that WebAssembly can address. */
const MEMORY_BYTES = 2 ** 32;

/**
 * Does without kernels of ours where what they touch might not fit their memory: that, too, is decided by static shapes alone, as
 * if no two values shared a place, so it is the same in however many stages the model runs.
 *
 * @throws CoordError ENGINE_UNSUPPORTED for a kernel that has no rule; the message names layer and kernel.
 */
export function lower(graph: Graph, options: LowerOptions): LoweredModel {
  const model = lowered(graph, options);
  return fitsMemory(model.ownNodes) ? model : lowered(graph, { ...options, kernelsFrom: undefined });
}

/** Elements have four bytes at most. */
function fitsMemory(ownNodes: readonly OwnNode[]): boolean {
  const values = ownNodes.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
  const bytes = new Map(values.map(({ name, dims }) => [name, 4 * sizeOfShape(dims)]));
  return planBound([...bytes.values()], KERNEL_BYTES) <= MEMORY_BYTES;
}

function lowered(graph: Graph, { blockSize, kernelsFrom, threads = 1 }: LowerOptions): LoweredModel {
  const onnx = new OnnxBuilder();
  const context = new LowerContext(onnx, blockSize, kernelsFrom, threads);
  for (const node of graph.nodes) {
    const rule = KERNEL_RULES[node.kernel];
    if (!rule) throw unsupported(placeOf(node), 'there is no lowering for this kernel');
    rule(node, context);
  }
  for (const { name, value } of graph.outputs) {
    onnx.output(name, onnxType(value.dtype), value.shape, context.plain(value));
  }
  const { inputs, outputs, operationCount, ownNodes, aliases } = onnx;
  return { bytes: onnx.build(), inputs, outputs, operationCount, ownNodes, aliases };
}
