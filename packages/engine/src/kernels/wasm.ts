/** The kernels of assembly/kernels/, bound to one memory. */
import { compileModule } from '../wasm-module.js';

/** (address of each input …, address of each output …, scalars …) */
type WasmKernel = (...values: number[]) => void;

export type Kernels = Readonly<Record<string, WasmKernel>>;

/** Bytes at the start of the memory that the kernels keep their constants in. */
export const KERNEL_BYTES = 65_536;

let compiled: WebAssembly.Module | undefined;

/** @throws CoordError ENGINE_UNAVAILABLE when the kernels were not built. */
export function loadKernels(memory: WebAssembly.Memory): Kernels {
  compiled ??= compileModule('kernels.wasm', 'the engine');
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as Kernels;
}
