/** `engine: auto`: a fixed order, and which engines of it are worth a try on this machine. */
import { mayHaveGpu, requireGpuAdapter } from '../gpu-adapter.js';
import type { ConcreteEngine } from './guide.js';

export interface Candidate {
  readonly name: ConcreteEngine;
  /** Whether it is tested on every machine that runs coord's tests, and needs no check here. */
  readonly isEverywhere: boolean;
}

/** Fastest first, compiled before eager; documented in docs/engines.md. */
export const AUTO_ORDER: readonly Candidate[] = [
  { name: 'ort-cuda', isEverywhere: false },
  { name: 'ort-webgpu', isEverywhere: false },
  { name: 'ort', isEverywhere: true },
  { name: 'tfjs-node-gpu', isEverywhere: false },
  { name: 'tfjs-webgpu', isEverywhere: false },
  { name: 'tfjs-node', isEverywhere: false },
  { name: 'tfjs-cpu', isEverywhere: true },
];

/** Cheap and silent, since native libraries write to stderr when their device is missing. */
export async function mayTry(name: ConcreteEngine, sharesProcess: boolean): Promise<boolean> {
  switch (name) {
    case 'ort-cuda':
      return hasCuda();
    case 'ort-webgpu':
      return !sharesProcess && (await hasHardwareGpu());
    case 'tfjs-webgpu':
      return hasHardwareGpu();
    default:
      return true;
  }
}

async function hasCuda(): Promise<boolean> {
  const { hasCudaLibrary } = await import('../ort/provider.js');
  return hasCudaLibrary();
}

/** Software that imitates a GPU is slower than the CPU engines. */
async function hasHardwareGpu(): Promise<boolean> {
  if (!mayHaveGpu()) return false;
  return requireGpuAdapter().then(
    ({ isHardware }) => isHardware,
    () => false,
  );
}
