// Kernels of the exact sum and of the ring, in AssemblyScript for WebAssembly SIMD.
export { averageGrain } from './average';
export { checksum } from './checksum';
export { addInt8, addInt16, addInt32, maxUint8, narrow8, narrow16 } from './combine';
export { dequantise8, dequantise16, dequantise32 } from './dequantise';
export { quantiseGrain } from './quantise';
export { quantiseAtRandom } from './random-rounding';
