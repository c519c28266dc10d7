export { startWorker, type WorkerHandle, type WorkerOptions, type WorkerResult } from './worker.js';
