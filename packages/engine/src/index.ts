import './ort/no-telemetry.js';

export { createEngine, type EngineOptions } from './create-engine.js';
export type { CompiledStep, Engine, GradientStages, GrainKey, StepSpec } from './engine.js';
export { type InitialWeights, initialWeights } from './initial-weights.js';
export { inspectModel, type LayerDescription, type ModelDescription } from './inspect/inspect-model.js';
export { compileWarnings } from './inspect/unrolled.js';
export * from './optimizer/index.js';
export { nvidiaModels } from './ort/nvidia.js';
export { CONCRETE_ENGINES, type ConcreteEngine, ENGINE_GUIDES } from './registry/guide.js';
export { requireAgreement } from './registry/self-check.js';
export { type EngineSpeed, measureSpeed } from './registry/speed.js';
export { stepSpecOf } from './step-spec.js';
