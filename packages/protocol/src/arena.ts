/**
 * Arena: one shared WebAssembly memory per host, from which all large buffers are cut. WASM kernels reach only the memory
 * they were made with, and compute threads and the ring's thread must see the same gradients without copying.
 */
import { CoordError } from './errors.js';

const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;
const ALIGN_BYTES = 64;

export interface Arena {
  readonly memory: WebAssembly.Memory;
  float32(length: number): Float32Array;
  int32(length: number): Int32Array;
  uint8(length: number): Uint8Array;
}

/** Bytes that buffers of these sizes take in an arena, alignment included. */
export const arenaBytes = (sizesBytes: readonly number[]): number =>
  sizesBytes.reduce((sum, size) => sum + Math.ceil(size / ALIGN_BYTES) * ALIGN_BYTES, 0);

/** @throws CoordError ENGINE_UNSUPPORTED when more than 4 GiB would be needed. */
export function createArena(sizeBytes: number): Arena {
  const pages = Math.ceil((sizeBytes + ALIGN_BYTES) / PAGE_BYTES) + 1;
  if (pages > MAX_PAGES) {
    throw new CoordError(
      'ENGINE_UNSUPPORTED',
      `the model needs ${(sizeBytes / 2 ** 30).toFixed(1)} GiB of shared buffers; 4 GiB is the limit`,
      {
        hint: 'Use a smaller model or an optimizer with fewer slots.',
        facts: { sizeBytes },
      },
    );
  }
  return arenaOver(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }));
}

function arenaOver(memory: WebAssembly.Memory): Arena {
  let used = ALIGN_BYTES;
  const take = (bytes: number): number => {
    const at = used;
    used += Math.ceil(bytes / ALIGN_BYTES) * ALIGN_BYTES;
    if (used > memory.buffer.byteLength) throw new RangeError(`arena of ${memory.buffer.byteLength} bytes is full`);
    return at;
  };
  return {
    memory,
    float32: (length) => new Float32Array(memory.buffer, take(length * 4), length),
    int32: (length) => new Int32Array(memory.buffer, take(length * 4), length),
    uint8: (length) => new Uint8Array(memory.buffer, take(length), length),
  };
}
