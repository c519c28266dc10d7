/** The kernels of assembly/optimizer.ts, bound to one memory. */
import { compileModule } from '../wasm-module.js';
import { type Buffers, KERNEL_NAMES, type Kernel, type KernelName } from './rule.js';

/** (address of each buffer …, number of elements, scalars …) */
type WasmKernel = (...values: number[]) => void;

export interface WasmRunner {
  /** True when all of these buffers lie in the memory that the kernels were made with. */
  reaches(buffers: Buffers): boolean;
  readonly kernels: Readonly<Record<KernelName, Kernel>>;
}

let compiled: WebAssembly.Module | undefined;

/** @throws CoordError ENGINE_UNAVAILABLE when the kernels were not built. */
export function createWasmRunner(memory: WebAssembly.Memory): WasmRunner {
  compiled ??= compileModule('optimizer.wasm', 'the optimizer');
  const instance = new WebAssembly.Instance(compiled, { env: { memory } });
  const entries = KERNEL_NAMES.map((name) => [name, asKernel(instance.exports[name] as WasmKernel)]);
  return {
    reaches: (buffers) => buffers.every((buffer) => buffer.buffer === memory.buffer),
    kernels: Object.fromEntries(entries) as Record<KernelName, Kernel>,
  };
}

const asKernel =
  (kernel: WasmKernel): Kernel =>
  (buffers, scalars) =>
    kernel(...buffers.map((buffer) => buffer.byteOffset), buffers[0].length, ...scalars);
