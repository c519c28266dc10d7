export { exportSafetensors, exportTfjs } from './export.js';
export { type CheckpointRef, checkpointsByName, findCheckpoints, latestCheckpoint, passedOver } from './find.js';
export { loadCheckpoint, resolveCheckpoint } from './load.js';
export type { CheckpointManifest } from './manifest.js';
export type { LoadedCheckpoint } from './read.js';
export type { Retention } from './retention.js';
export { type CheckpointInfo, type SavedCheckpoint, saveCheckpoint } from './save.js';
