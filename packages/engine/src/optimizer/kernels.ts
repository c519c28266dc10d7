import { adam } from './adam.js';
import { momentum, nesterov } from './momentum.js';
import { rmsprop, rmspropCentered, rmspropCenteredMomentum, rmspropMomentum } from './rmsprop.js';
import type { Kernel, KernelName } from './rule.js';
import { sgd } from './sgd.js';

/** The JavaScript kernels: the reference, and what computes where the buffers lie outside a WebAssembly memory. */
export const KERNELS: Readonly<Record<KernelName, Kernel>> = {
  sgd,
  momentum,
  nesterov,
  rmsprop,
  rmspropMomentum,
  rmspropCentered,
  rmspropCenteredMomentum,
  adam,
};
