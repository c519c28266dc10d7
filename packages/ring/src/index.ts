export { doublingPartners, type Partner, type Partners } from './doubling.js';
export {
  dequantise,
  EXPONENT_NOT_FINITE,
  limitFor,
  mostGrains,
  type QuantiseMode,
  type QuantiseResult,
  quantaFor,
  quantiseGrain,
  rememberExponents,
  requireBits,
  roundingFor,
  type StochasticRounding,
} from './exact-sum.js';
export { type GradientSumOptions, sumOfFloats, sumOfSums } from './gradient-sum.js';
export { createKernels, type Kernels, referenceKernels } from './kernels.js';
export type { Reduction } from './reduction.js';
export { createRing, type Ring, type RingContext } from './ring.js';
export { RING_SCRATCH_BYTES } from './scratch.js';
export { addThreads, averageThreads, type GrainFloats, THREAD_PIECE_VALUES } from './thread-sum.js';
