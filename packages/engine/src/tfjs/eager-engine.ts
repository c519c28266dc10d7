import { version_core } from '@tensorflow/tfjs-core';
import type { CompiledStep, Engine, StepSpec } from '../engine.js';
import { STEP_VERSION } from '../identity.js';
import { prepareStep } from '../step/prepare.js';
import { EagerStep } from './eager-step.js';

/** The eager engine on tfjs's `cpu` backend: plain JavaScript, one thread, the same bits on every machine. */
export const createEagerEngine = (): Engine => ({
  name: 'tfjs-cpu',
  identity: {
    engine: 'tfjs-cpu',
    engineVersion: version_core,
    loweringVersion: STEP_VERSION,
    device: 'javascript',
    threads: 1,
  },
  compile: async (spec: StepSpec): Promise<CompiledStep> => new EagerStep(prepareStep(spec)),
  dispose: () => {},
});
