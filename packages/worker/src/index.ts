export { startWorker } from './worker.js';
export type { WorkerEvent, WorkerHandle, WorkerOptions, WorkerResult } from './worker-options.js';
