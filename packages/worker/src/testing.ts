/** What a simulation needs to put a worker into other surroundings. */
export type { ComputeThread } from './compute/compute-client.js';
export { createComputeWork } from './compute/compute-work.js';
export type { GrainProgress } from './compute/requests.js';
export { startPool } from './compute/start-pool.js';
export { WatchedThread } from './compute/watched-thread.js';
export type { Reach } from './reach.js';
export type { Surroundings } from './surroundings.js';
export { startWorker } from './worker.js';
