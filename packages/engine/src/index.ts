export { createEngine, type EngineOptions } from './create-engine.js';
export type { CompiledStep, Engine, GrainKey, StepSpec } from './engine.js';
export { type InitialWeights, initialWeights } from './initial-weights.js';
export * from './optimizer/index.js';
