/** Shape rules: what a kernel's outputs look like, from its inputs' shapes and its attributes. */
import type { DataType } from '@tensorflow/tfjs-core';

export interface TensorSpec {
  readonly shape: number[];
  readonly dtype: DataType;
}

export type Inputs = Readonly<Record<string, TensorSpec>>;

/** Attributes as the kernel's own interface in tfjs-core describes them. */
export type ShapeRule = (inputs: Inputs, attrs: never) => TensorSpec | TensorSpec[];

export type ShapeRules = Readonly<Record<string, ShapeRule>>;

/** The same rule for several kernels. */
export const forKernels = (kernels: string, rule: ShapeRule): ShapeRules =>
  Object.fromEntries(kernels.split(' ').map((kernel) => [kernel, rule]));
