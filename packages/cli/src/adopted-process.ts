/** A local worker that an earlier `coord start` launched and that came back to this one: a process, but not our child. */
import { isRunning } from '@coord/disk';
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
  return { name, gone, isRunning: () => running && isRunning(pid), kill: () => end(pid) };
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}
