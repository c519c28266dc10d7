export { loadConfig, parseConfig } from './config/load.js';
export { type PreparedRun, toRunSpec } from './config/run-spec.js';
export { type RunConfig, type RunConfigInput, runConfigSchema } from './config/schema.js';
