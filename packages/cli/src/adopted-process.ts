/** A local worker that an earlier `coord start` launched and that came back to this one: a process, but not our child. */
import type { LocalProcess } from './local-workers.js';

/** The system tells nobody but a parent that a process has ended. */
const LOOK_EVERY_MS = 250;

export function adoptProcess(name: string, pid: number, onGone: () => void): LocalProcess {
  let running = true;
  let resolveGone: () => void = () => {};
  const gone = new Promise<void>((resolve) => {
    resolveGone = resolve;
  });
  const timer = setInterval(() => {
    if (isRunning(pid)) return;
    clearInterval(timer);
    running = false;
    resolveGone();
    onGone();
  }, LOOK_EVERY_MS);
  timer.unref();
  return { name, gone, isRunning: () => running && isRunning(pid), kill: () => signal(pid, 'SIGKILL') };
}

const isRunning = (pid: number): boolean => signal(pid, 0);

/** False when there is no such process. */
function signal(pid: number, what: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, what);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
