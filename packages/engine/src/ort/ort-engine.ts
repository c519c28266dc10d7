/** The traced tfjs step, lowered to ONNX, run by ONNX Runtime: on the CPU (the default engine) or on a GPU. */
import './no-telemetry.js';
import { env } from 'onnxruntime-node';
import type { CompiledStep, Engine, StepSpec } from '../engine.js';
import { requireGpuAdapter } from '../gpu-adapter.js';
import { LOWERING_VERSION } from '../identity.js';
import { PackageMissingError } from '../optional-package.js';
import { prepareStep } from '../step/prepare.js';
import { probeBlockSize } from './block-size.js';
import { firstModel, nvidiaModels } from './nvidia.js';
import { OrtStep } from './ort-step.js';
import { hasCudaLibrary, type OrtProvider, requireProvider } from './provider.js';

export interface OrtEngineOptions {
  /** Threads inside one operation. Part of the numeric identity: other counts give other bits. */
  readonly threads: number;
  /** `plain` does without ONNX Runtime's blocked layout. Default: `blocked` where the processor has it. */
  readonly layout?: 'blocked' | 'plain';
  /**
   * Elements from which on kernels of our own compute what they can instead of ONNX Runtime; ∞ does without them. They use one
   * thread, however many ONNX Runtime has. Part of the numeric identity, so nothing but tests should change it.
   */
  readonly kernelsFrom?: number;
}

/** A kernel of ours between two sessions costs the start of another session, about 20 µs. */
export const KERNELS_FROM = 32_768;

export async function createOrtEngine({
  threads,
  layout = 'blocked',
  kernelsFrom = KERNELS_FROM,
}: OrtEngineOptions): Promise<Engine> {
  const blockSize = layout === 'blocked' ? await probeBlockSize() : undefined;
  const device = cpuDevice(blockSize);
  return engineOn({ name: 'ort', provider: 'cpu', device, threads, blockSize, kernelsFrom });
}

/** On a GPU, in plain layout: the blocked one is the CPU provider's own. @throws Error with the reason when it has none */
export async function createOrtGpuEngine(provider: Exclude<OrtProvider, 'cpu'>): Promise<Engine> {
  const device = provider === 'cuda' ? cudaDevice() : await webGpuDevice();
  await requireProvider(provider);
  return engineOn({
    name: `ort-${provider}`,
    provider,
    device,
    threads: 1,
    blockSize: undefined,
    kernelsFrom: undefined,
  });
}

interface OrtEngineParts {
  readonly name: 'ort' | 'ort-webgpu' | 'ort-cuda';
  readonly provider: OrtProvider;
  readonly device: string;
  readonly threads: number;
  readonly blockSize: number | undefined;
  readonly kernelsFrom: number | undefined;
}

const engineOn = ({ name, device, ...options }: OrtEngineParts): Engine => ({
  name,
  identity: {
    engine: name,
    engineVersion: env.versions.node ?? env.versions.common,
    loweringVersion: LOWERING_VERSION,
    device,
    threads: options.threads,
  },
  compile: async (spec: StepSpec): Promise<CompiledStep> => new OrtStep(prepareStep(spec), options),
  dispose: () => {},
});

/** The block size tells the instruction set that ONNX Runtime has chosen its kernels for. */
function cpuDevice(blockSize: number | undefined): string {
  if (blockSize === undefined) return `${process.arch}-plain`;
  const instructions = { 8: 'avx2', 16: 'avx512' }[blockSize];
  return `${process.arch}-${process.arch === 'x64' && instructions ? instructions : `block${blockSize}`}`;
}

function cudaDevice(): string {
  if (!hasCudaLibrary()) throw new Error("the library of ONNX Runtime's CUDA provider is not installed");
  return `cuda ${firstModel(nvidiaModels(), process.env) ?? 'device 0'}`.slice(0, 128);
}

/** ONNX Runtime does not name its adapter; Dawn does, where its package is installed. */
async function webGpuDevice(): Promise<string> {
  try {
    return (await requireGpuAdapter()).description;
  } catch (error) {
    if (error instanceof PackageMissingError) return 'webgpu';
    throw error;
  }
}
