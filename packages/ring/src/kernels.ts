/** Kernels: the loops over gradients, in WebAssembly SIMD where the arrays lie in its memory, else in JavaScript. */
import { readFileSync } from 'node:fs';
import { BLOCK_SIZE, type WireFormat } from '@coord/protocol';
import { checksum } from './checksum.js';
import {
  dequantise,
  floatLimitFor,
  type QuantiseMode,
  type QuantiseResult,
  quantiseGrain,
  type StochasticRounding,
  type WireArray,
} from './exact-sum.js';

export interface Kernels {
  /** See `quantiseGrain` in exact-sum.ts. */
  quantiseGrain(
    gradients: Float32Array,
    quanta: Uint8Array,
    grains: number,
    sums: Int32Array,
    exponents: Uint8Array,
    mode?: QuantiseMode,
    wire?: WireFormat,
    rounding?: StochasticRounding,
  ): QuantiseResult;
  /**
   * Adds a grain's integers to `sums` as `quantiseGrain` does, and writes sums × quantum ÷ divisor to `out`, which may be `gradients`.
   * What the sums hold afterwards is not told.
   */
  averageGrain(
    gradients: Float32Array,
    quanta: Uint8Array,
    grains: number,
    sums: Int32Array,
    exponents: Uint8Array,
    divisor: number,
    out: Float32Array,
    wire?: WireFormat,
    rounding?: StochasticRounding,
  ): QuantiseResult;
  /** See `dequantise` in exact-sum.ts. */
  dequantise(sums: WireArray, quanta: Uint8Array, divisor: number, out: Float32Array): void;
  /** out = a + b, element by element, modulo 2^32. `out` may be `a` or `b`. */
  addInt32(out: Int32Array, a: Int32Array, b: Int32Array): void;
  /** out = a + b, element by element, modulo 2^16. `out` may be `a` or `b`. */
  addInt16(out: Int16Array, a: Int16Array, b: Int16Array): void;
  /** out = a + b, element by element, modulo 2^8. `out` may be `a` or `b`. */
  addInt8(out: Int8Array, a: Int8Array, b: Int8Array): void;
  /** Stores sums in a shorter wire format, or adds them to what is there, in whole blocks; they fit, by that format's quanta. */
  narrow(sums: Int32Array, out: Int16Array | Int8Array, mode: QuantiseMode): void;
  /** out = max(a, b), element by element. `out` may be `a` or `b`. */
  maxUint8(out: Uint8Array, a: Uint8Array, b: Uint8Array): void;
  /** See `checksum` in checksum.ts. */
  checksum(bytes: Uint8Array): number;
}

/** `averageGrain` one after the other. */
const averageInTurn =
  (kernels: () => Pick<Kernels, 'quantiseGrain' | 'dequantise'>): Kernels['averageGrain'] =>
  (gradients, quanta, grains, sums, exponents, divisor, out, wire, rounding) => {
    const { quantiseGrain: quantise, dequantise: finish } = kernels();
    const result = quantise(gradients, quanta, grains, sums, exponents, 'add', wire, rounding);
    finish(sums, quanta, divisor, out);
    return result;
  };

export const referenceKernels: Kernels = {
  quantiseGrain,
  averageGrain: averageInTurn(() => referenceKernels),
  dequantise,
  addInt32(out, a, b) {
    for (let index = 0; index < out.length; index++) out[index] = a[index] + b[index];
  },
  addInt16(out, a, b) {
    for (let index = 0; index < out.length; index++) out[index] = a[index] + b[index];
  },
  addInt8(out, a, b) {
    for (let index = 0; index < out.length; index++) out[index] = a[index] + b[index];
  },
  narrow(sums, out, mode) {
    const largest = out instanceof Int8Array ? 127 : 32767;
    for (let index = 0; index < out.length; index++) {
      const sum = sums[index] + (mode === 'add' ? out[index] : 0);
      out[index] = Math.max(-largest - 1, Math.min(largest, sum));
    }
  },
  maxUint8(out, a, b) {
    for (let index = 0; index < out.length; index++) out[index] = Math.max(a[index], b[index]);
  },
  checksum,
};

type DequantiseExport = (sums: number, quanta: number, inverseDivisor: number, out: number, blocks: number) => void;
type CombineExport = (out: number, a: number, b: number, count: number) => void;

/** Exports of assembly/index.ts; pointers are byte offsets. */
interface KernelExports {
  quantiseGrain(
    gradients: number,
    quanta: number,
    limit: number,
    sums: number,
    exponents: number,
    blocks: number,
    keep: number,
  ): number;
  quantiseAtRandom(
    gradients: number,
    quanta: number,
    limit: number,
    sums: number,
    exponents: number,
    blocks: number,
    keep: number,
    keyLow: number,
    keyHigh: number,
    grain: number,
    step: number,
    firstBlock: number,
  ): number;
  averageGrain(
    gradients: number,
    quanta: number,
    limit: number,
    sums: number,
    exponents: number,
    blocks: number,
    inverseDivisor: number,
    out: number,
  ): number;
  dequantise32: DequantiseExport;
  dequantise16: DequantiseExport;
  dequantise8: DequantiseExport;
  addInt32: CombineExport;
  addInt16: CombineExport;
  addInt8: CombineExport;
  narrow16(sums: number, out: number, blocks: number, keep: number): void;
  narrow8(sums: number, out: number, blocks: number, keep: number): void;
  maxUint8: CombineExport;
  checksum(bytes: number, count: number): number;
}

let compiled: WebAssembly.Module | undefined;

function kernelModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('../dist/kernels.wasm', import.meta.url)));
  return compiled;
}

/**
 * Kernels over one memory, usually an arena's. Any number of threads may have their own over the same memory; they keep no
 * state. Calls whose arrays lie elsewhere are computed by the reference.
 */
export function createKernels(memory: WebAssembly.Memory): Kernels {
  const instance = new WebAssembly.Instance(kernelModule(), { env: { memory } });
  const wasm = instance.exports as unknown as KernelExports;
  const inside = (...arrays: readonly ArrayBufferView[]) => arrays.every((array) => array.buffer === memory.buffer);
  const averageSlowly = averageInTurn(() => kernels);
  const kernels: Kernels = {
    quantiseGrain(gradients, quanta, grains, sums, exponents, mode = 'add', wire = 'int32', rounding = undefined) {
      if (!inside(gradients, quanta, sums, exponents)) {
        return quantiseGrain(gradients, quanta, grains, sums, exponents, mode, wire, rounding);
      }
      const common = [
        gradients.byteOffset,
        quanta.byteOffset,
        floatLimitFor(grains, wire),
        sums.byteOffset,
        exponents.byteOffset,
        quanta.length,
        mode === 'add' ? -1 : 0,
      ] as const;
      const packed = rounding
        ? wasm.quantiseAtRandom(...common, ...rounding.key, rounding.grain, rounding.step, rounding.firstBlock)
        : wasm.quantiseGrain(...common);
      return unpack(packed);
    },
    averageGrain(gradients, quanta, grains, sums, exponents, divisor, out, wire = 'int32', rounding = undefined) {
      if (rounding || !inside(gradients, quanta, sums, exponents, out)) {
        return averageSlowly(gradients, quanta, grains, sums, exponents, divisor, out, wire, rounding);
      }
      const packed = wasm.averageGrain(
        gradients.byteOffset,
        quanta.byteOffset,
        floatLimitFor(grains, wire),
        sums.byteOffset,
        exponents.byteOffset,
        quanta.length,
        1 / divisor,
        out.byteOffset,
      );
      return unpack(packed);
    },
    dequantise(sums, quanta, divisor, out) {
      if (!inside(sums, quanta, out)) return dequantise(sums, quanta, divisor, out);
      const run = { 4: wasm.dequantise32, 2: wasm.dequantise16, 1: wasm.dequantise8 }[sums.BYTES_PER_ELEMENT];
      run?.(sums.byteOffset, quanta.byteOffset, 1 / divisor, out.byteOffset, quanta.length);
    },
    addInt32(out, a, b) {
      if (!inside(out, a, b)) return referenceKernels.addInt32(out, a, b);
      wasm.addInt32(out.byteOffset, a.byteOffset, b.byteOffset, out.length);
    },
    addInt16(out, a, b) {
      if (!inside(out, a, b)) return referenceKernels.addInt16(out, a, b);
      wasm.addInt16(out.byteOffset, a.byteOffset, b.byteOffset, out.length);
    },
    addInt8(out, a, b) {
      if (!inside(out, a, b)) return referenceKernels.addInt8(out, a, b);
      wasm.addInt8(out.byteOffset, a.byteOffset, b.byteOffset, out.length);
    },
    narrow(sums, out, mode) {
      if (!inside(sums, out)) return referenceKernels.narrow(sums, out, mode);
      const run = out instanceof Int8Array ? wasm.narrow8 : wasm.narrow16;
      run(sums.byteOffset, out.byteOffset, sums.length / BLOCK_SIZE, mode === 'add' ? -1 : 0);
    },
    maxUint8(out, a, b) {
      if (!inside(out, a, b)) return referenceKernels.maxUint8(out, a, b);
      wasm.maxUint8(out.byteOffset, a.byteOffset, b.byteOffset, out.length);
    },
    checksum: (bytes) => (inside(bytes) ? wasm.checksum(bytes.byteOffset, bytes.length) : checksum(bytes)),
  };
  return kernels;
}

const unpack = (packed: number): QuantiseResult => ({
  overflow: (packed & 1) === 1,
  firstNonFiniteBlock: (packed >> 1) - 1,
});
