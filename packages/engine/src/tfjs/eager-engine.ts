import type { CompiledStep, Engine, StepSpec } from '../engine.js';
import { STEP_VERSION } from '../identity.js';
import { prepareStep } from '../step/prepare.js';
import { CPU_BACKEND, type EagerBackend } from './eager-backend.js';
import { EagerStep } from './eager-step.js';

/** The eager engine: tfjs computes every kernel as it comes, on any of its backends that can train. */
export const createEagerEngine = (backend: EagerBackend = CPU_BACKEND): Engine => ({
  name: backend.engine,
  identity: {
    engine: backend.engine,
    engineVersion: backend.version,
    loweringVersion: STEP_VERSION,
    device: backend.device,
    threads: backend.threads,
  },
  compile: async (spec: StepSpec): Promise<CompiledStep> => new EagerStep(prepareStep(spec), backend.name),
  dispose: () => {},
});
