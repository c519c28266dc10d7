/** Worker processes on this machine, children of `coord start`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TOKEN_VARIABLE } from './token.js';

const COORD = fileURLToPath(new URL('../bin/coord.js', import.meta.url));

export interface LocalWorkersOptions {
  /** Workers in all. */
  readonly count: number;
  /** One process with a thread for each, or a process each. */
  readonly arrangement: 'threads' | 'processes';
  /** The coordinator's address. */
  readonly url: string;
  readonly token: string;
  readonly logsDirectory: string;
  readonly onExit: (exit: LocalWorkerExit) => void;
}

export interface LocalWorkerExit {
  readonly name: string;
  readonly pid: number | undefined;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly logFile: string;
}

export interface LocalWorkers {
  /** Workers that are still running. */
  running(): number;
  /** Resolves once all are gone; those that are not after `graceMs` are killed. */
  end(graceMs: number): Promise<void>;
  killNow(): void;
}

export function launchLocalWorkers(options: LocalWorkersOptions): LocalWorkers {
  const children = hostsOf(options).map((workers, index) => launch(options, `local-${index + 1}`, workers));
  const live = () => children.filter((child) => child.exitCode === null && child.signalCode === null);
  const killNow = () => {
    for (const child of live()) child.kill('SIGKILL');
  };
  // Whatever ends this process, no worker of its own outlives it.
  process.once('exit', killNow);
  return {
    running: () => live().length,
    killNow,
    async end(graceMs) {
      const timer = setTimeout(killNow, graceMs);
      await Promise.all(live().map((child) => once(child, 'exit')));
      clearTimeout(timer);
      process.off('exit', killNow);
    },
  };
}

/** Workers of each local process. */
function hostsOf({ count, arrangement }: LocalWorkersOptions): number[] {
  if (arrangement === 'threads' && count > 0) return [count];
  return Array.from({ length: count }, () => 1);
}

function launch(options: LocalWorkersOptions, name: string, workers: number): ChildProcess {
  const logFile = join(options.logsDirectory, `${name}.log`);
  const log = openSync(logFile, 'a');
  const child = spawn(
    process.execPath,
    [
      COORD,
      'worker',
      options.url,
      '--name',
      name,
      '--workers',
      String(workers),
      '--log-dir',
      options.logsDirectory,
      '--verbose',
    ],
    {
      stdio: ['ignore', log, log],
      // The token is not in the arguments, which every user of the machine can read.
      env: { ...process.env, [TOKEN_VARIABLE]: options.token },
      // A group of its own: Ctrl-C in the terminal reaches the coordinator alone, which then ends the run in order.
      detached: true,
      windowsHide: true,
    },
  );
  closeSync(log);
  child.once('exit', (code, signal) => options.onExit({ name, pid: child.pid, code, signal, logFile }));
  child.once('error', () => options.onExit({ name, pid: child.pid, code: null, signal: null, logFile }));
  return child;
}
