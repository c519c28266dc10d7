/** The default engine: the traced tfjs step, lowered to ONNX, run by ONNX Runtime on the CPU. */
import { env } from 'onnxruntime-node';
import type { CompiledStep, Engine, StepSpec } from '../engine.js';
import { LOWERING_VERSION } from '../identity.js';
import { prepareStep } from '../step/prepare.js';
import { probeBlockSize } from './block-size.js';
import { OrtStep } from './ort-step.js';

export interface OrtEngineOptions {
  /** Threads inside one operation. Part of the numeric identity: other counts give other bits. */
  readonly threads: number;
  /** `plain` does without ONNX Runtime's blocked layout. Default: `blocked` where the processor has it. */
  readonly layout?: 'blocked' | 'plain';
}

export async function createOrtEngine({ threads, layout = 'blocked' }: OrtEngineOptions): Promise<Engine> {
  const blockSize = layout === 'blocked' ? await probeBlockSize() : undefined;
  return {
    name: 'ort',
    identity: {
      engine: 'ort',
      engineVersion: env.versions.node ?? env.versions.common,
      loweringVersion: LOWERING_VERSION,
      device: deviceOf(blockSize),
      threads,
    },
    compile: async (spec: StepSpec): Promise<CompiledStep> => new OrtStep(prepareStep(spec), { threads, blockSize }),
    dispose: () => {},
  };
}

/** The block size tells the instruction set that ONNX Runtime has chosen its kernels for. */
function deviceOf(blockSize: number | undefined): string {
  if (blockSize === undefined) return `${process.arch}-plain`;
  const instructions = { 8: 'avx2', 16: 'avx512' }[blockSize];
  return `${process.arch}-${process.arch === 'x64' && instructions ? instructions : `block${blockSize}`}`;
}
