export type { ModelDefinition } from './definition.js';
export { createModel, findModel, listModels } from './registry.js';
export type { Json, JsonObject, ModelFromTopologyOptions } from './topology.js';
export { isJsonObject, modelFromTopology, parseTopology, topologyOf } from './topology.js';
