export {
  startWorker,
  type WorkerEvent,
  type WorkerHandle,
  type WorkerOptions,
  type WorkerResult,
} from './worker.js';
