/** What the compiler makes of a step, and kernels of ours by themselves, for tests that look inside. */
import type { StepSpec } from '../src/engine.js';
import { KERNEL_BYTES, loadKernels } from '../src/kernels/wasm.js';
import { type LoweredModel, type LowerOptions, lower } from '../src/lower/lower.js';
import { optimise } from '../src/passes/optimise.js';
import { prepareStep } from '../src/step/prepare.js';
import { traceGradient } from '../src/step/trace-step.js';
import type { Graph } from '../src/trace/graph.js';

/** The optimised graph of a gradient over `count` samples. */
export function graphOf(spec: StepSpec, count: number): Graph {
  const { graph } = traceGradient(prepareStep(spec), count);
  optimise(graph);
  return graph;
}

export const loweredOf = (spec: StepSpec, count: number, options: LowerOptions): LoweredModel =>
  lower(graphOf(spec, count), options);

/** Names of the kernels of ours that it uses, in their order. */
export const kernelsOf = (spec: StepSpec, count: number, options: LowerOptions): string[] =>
  loweredOf(spec, count, options).ownNodes.map(({ kernel }) => kernel);

/** Runs a kernel over arrays of float32: inputs are copied in; outputs, of these lengths, hold NaN where it writes nothing. */
export function callKernel(
  kernel: string,
  inputs: readonly Float32Array[],
  lengths: readonly number[],
  scalars: readonly number[],
): Float32Array[] {
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 64 });
  let at = KERNEL_BYTES;
  const place = (length: number): Float32Array => {
    const view = new Float32Array(memory.buffer, at, length);
    at += 4 * length;
    return view;
  };
  const given = inputs.map((input) => {
    const view = place(input.length);
    view.set(input);
    return view;
  });
  const outputs = lengths.map((length) => place(length).fill(Number.NaN));
  loadKernels(memory)[kernel](...[...given, ...outputs].map(({ byteOffset }) => byteOffset), ...scalars);
  return outputs;
}
