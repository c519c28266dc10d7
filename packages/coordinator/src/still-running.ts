/** Which workers of an earlier start can come back: a process of this machine that is gone cannot. */
import { hostname } from 'node:os';
import type { FormerWorker } from './past.js';

/** True unless the worker is known to be dead; of another machine nobody here knows anything. */
export function mayReturn({ hostName, pid }: FormerWorker): boolean {
  return hostName !== hostname() || pid === undefined || isRunning(pid);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is a process too.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
