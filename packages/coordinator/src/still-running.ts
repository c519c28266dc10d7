/** Which workers of an earlier start can come back: a process of this machine that is gone cannot. */
import { hostname } from 'node:os';
import { isRunning } from '@coord/disk';
import type { FormerWorker } from './past.js';

/** True unless the worker is known to be dead; of another machine nobody here knows anything. */
export function mayReturn({ hostName, pid }: FormerWorker): boolean {
  return hostName !== hostname() || pid === undefined || isRunning(pid);
}
