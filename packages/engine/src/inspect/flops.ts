/** Floating-point operations of a traced graph: two for each multiply-add of products and convolutions; the rest is small beside them. */
import { sizeOfShape } from '@coord/protocol';
import type { Node } from '../trace/graph.js';

type Count = (node: Node) => number;

const product: Count = ({ inputs: { a }, attrs, outputs: [out] }) =>
  sizeOfShape(out.shape) * (a.shape.at(attrs.transposeA ? -2 : -1) as number);

/** Each output meets a window of all input channels; the filter's last axis is the output's channels. */
const convolution: Count = ({ inputs: { filter }, outputs: [out] }) =>
  sizeOfShape(out.shape) * sizeOfShape(filter.shape.slice(0, -1));

/** Each output meets a window of its own channel alone. */
const depthwise: Count = ({ inputs: { filter }, outputs: [out] }) =>
  sizeOfShape(out.shape) * sizeOfShape(filter.shape.slice(0, 2));

const inputGradient: Count = ({ inputs: { dy, filter } }) =>
  sizeOfShape(dy.shape) * sizeOfShape(filter.shape.slice(0, -1));

const filterGradient: Count = ({ inputs: { dy }, outputs: [out] }) =>
  sizeOfShape(dy.shape) * sizeOfShape(out.shape.slice(0, -1));

const depthwiseGradient: Count = ({ inputs: { dy, filter }, outputs: [out] }) =>
  sizeOfShape(dy.shape) * sizeOfShape((filter ?? out).shape.slice(0, 2));

const MULTIPLY_ADDS: Readonly<Record<string, Count>> = {
  BatchMatMul: product,
  _FusedMatMul: product,
  Conv2D: convolution,
  FusedConv2D: convolution,
  Conv2DBackpropInput: inputGradient,
  Conv2DBackpropFilter: filterGradient,
  DepthwiseConv2dNative: depthwise,
  FusedDepthwiseConv2D: depthwise,
  DepthwiseConv2dNativeBackpropInput: depthwiseGradient,
  DepthwiseConv2dNativeBackpropFilter: depthwiseGradient,
  Conv3D: convolution,
  Conv3DBackpropInputV2: inputGradient,
  Conv3DBackpropFilterV2: filterGradient,
};

export const flopsOf = (node: Node): number => 2 * (MULTIPLY_ADDS[node.kernel]?.(node) ?? 0);
