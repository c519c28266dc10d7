/**
 * Kernels that run between ONNX Runtime's operations (WebAssembly SIMD, AssemblyScript): one pass over memory for what would
 * be many there. Sums run in a fixed order, so the bits depend on nothing but the inputs.
 *
 * Arguments: addresses in bytes of inputs and outputs; then scalars. Rows are whole vectors of four elements. Where a kernel takes
 * a `band`, rows may lie in bands of so many columns, band after band, as ONNX Runtime's convolutions have them; a band
 * as wide as a row is the usual order.
 */
export { geluGradient } from './gelu';
export { joinHeads, splitHeads } from './heads';
export { layerNormGradient } from './layer-norm';
export { maxPoolGradient, maxPoolGradient2x2 } from './max-pool';
export { crossEntropy, crossEntropyGradient, softmaxGradient } from './softmax';
