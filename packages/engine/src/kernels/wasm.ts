/** The kernels of assembly/kernels.ts, bound to one memory. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CoordError } from '@coord/protocol';

/** (address of each input …, address of each output …, scalars …) */
type WasmKernel = (...values: number[]) => void;

export type Kernels = Readonly<Record<string, WasmKernel>>;

/** Bytes at the start of the memory that the kernels keep their constants in. */
export const KERNEL_BYTES = 65_536;

let compiled: WebAssembly.Module | undefined;

/** @throws CoordError ENGINE_UNAVAILABLE when the kernels were not built. */
export function loadKernels(memory: WebAssembly.Memory): Kernels {
  compiled ??= compile();
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as Kernels;
}

function compile(): WebAssembly.Module {
  // The same relative path from src/kernels and from dist/kernels.
  const file = fileURLToPath(new URL('../../dist/kernels.wasm', import.meta.url));
  try {
    return new WebAssembly.Module(readFileSync(file));
  } catch (cause) {
    throw new CoordError('ENGINE_UNAVAILABLE', `the engine's WebAssembly kernels cannot be loaded from ${file}`, {
      hint: 'Build them: npm run build.',
      facts: { file },
      cause,
    });
  }
}
