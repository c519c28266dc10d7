export type { ModelDefinition } from './definition.js';
export { loadModelFile } from './file/load-model-file.js';
export type { ModelFile } from './file/model-file.js';
export * as layers from './layers/index.js';
export { createModel, findModel, listModels } from './registry.js';
export type { Json, JsonObject, ModelFromTopologyOptions } from './topology.js';
export { isJsonObject, modelFromTopology, parseTopology, topologyOf } from './topology.js';
