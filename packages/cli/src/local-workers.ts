/** Worker processes on this machine, children of `coord start`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FormerWorker } from '@coord/coordinator';
import { writeFailed } from '@coord/disk';
import { adoptProcess } from './adopted-process.js';
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
  /** Tokens that only local workers are given. */
  readonly tokenIds: ReadonlySet<string>;
  /** Workers of an earlier start that came back; nothing is launched before this is known, nor in place of a local one. */
  readonly returned: Promise<readonly FormerWorker[]>;
  readonly logsDirectory: string;
  readonly onExit: (exit: LocalWorkerExit) => void;
  /** What the command line of a worker's process begins with, by its number from 0; to run it somewhere else. */
  readonly prefixOf?: ((index: number) => readonly string[]) | undefined;
}

export interface LocalWorkerExit {
  readonly name: string;
  readonly pid: number | undefined;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly logFile: string;
}

export interface LocalProcess {
  readonly name: string;
  /** Resolves once it has ended. */
  readonly gone: Promise<void>;
  isRunning(): boolean;
  kill(): void;
}

export interface LocalWorkers {
  /** Rejects when they cannot be launched; never resolves. */
  readonly launchFailed: Promise<never>;
  /** Workers that are still running. */
  running(): number;
  /** Resolves once all are gone; those that are not after `graceMs` are killed. */
  end(graceMs: number): Promise<void>;
  killNow(): void;
}

export function launchLocalWorkers(options: LocalWorkersOptions): LocalWorkers {
  const processes: LocalProcess[] = [];
  let ended = false;
  const live = () => processes.filter((local) => local.isRunning());
  const killNow = () => {
    ended = true;
    for (const local of live()) local.kill();
  };
  const launching = options.returned.then((back) => {
    if (ended) return;
    processes.push(...adoptLocal(options, back));
    processes.push(...launchMissing(options, processes));
  });
  // Whatever ends this process, no worker of its own outlives it.
  process.once('exit', killNow);
  return {
    launchFailed: launching.then(() => new Promise<never>(() => {})),
    running: () => live().length,
    killNow,
    async end(graceMs) {
      ended = true;
      const timer = setTimeout(killNow, graceMs);
      await Promise.all(live().map(({ gone }) => gone));
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

const nameOf = (index: number): string => `local-${index + 1}`;

const logFileOf = ({ logsDirectory }: LocalWorkersOptions, name: string): string => join(logsDirectory, `${name}.log`);

/**
 * Those that an earlier `coord start` launched on this machine end with this one. Anybody may claim to be process so-and-so of this
 * machine, and processes that do not end are killed; that it is ours, its token proves.
 */
function adoptLocal(options: LocalWorkersOptions, back: readonly FormerWorker[]): LocalProcess[] {
  return back.flatMap(({ name, hostName, pid, tokenId }) => {
    if (tokenId === undefined || !options.tokenIds.has(tokenId)) return [];
    if (pid === undefined || hostName !== hostname() || !/^local-\d+$/.test(name)) return [];
    const exit = { name, pid, code: null, signal: null, logFile: logFileOf(options, name) };
    return adoptProcess(name, pid, () => options.onExit(exit));
  });
}

function launchMissing(options: LocalWorkersOptions, present: readonly LocalProcess[]): LocalProcess[] {
  const names = new Set(present.map(({ name }) => name));
  return hostsOf(options).flatMap((workers, index) =>
    names.has(nameOf(index)) ? [] : childOf(launch(options, index, workers), nameOf(index)),
  );
}

const childOf = (child: ChildProcess, name: string): LocalProcess => ({
  name,
  gone: new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  }),
  isRunning: () => child.pid !== undefined && child.exitCode === null && child.signalCode === null,
  kill: () => child.kill('SIGKILL'),
});

function openLog(file: string): number {
  try {
    return openSync(file, 'a');
  } catch (cause) {
    throw writeFailed(file, cause);
  }
}

function launch(options: LocalWorkersOptions, index: number, workers: number): ChildProcess {
  const name = nameOf(index);
  const logFile = logFileOf(options, name);
  const log = openLog(logFile);
  const [program, ...args] = [
    ...(options.prefixOf?.(index) ?? []),
    process.execPath,
    COORD,
    'worker',
    options.url,
    ...['--name', name, '--workers', String(workers), '--log-dir', options.logsDirectory, '--verbose'],
  ];
  const child = spawn(program, args, {
    stdio: ['ignore', log, log],
    // The token is not in the arguments, which every user of the machine can read.
    env: { ...process.env, [TOKEN_VARIABLE]: options.token },
    // A group of its own: Ctrl-C in the terminal reaches the coordinator alone, which then ends the run in order.
    detached: true,
    windowsHide: true,
  });
  closeSync(log);
  child.once('exit', (code, signal) => options.onExit({ name, pid: child.pid, code, signal, logFile }));
  child.once('error', () => options.onExit({ name, pid: child.pid, code: null, signal: null, logFile }));
  return child;
}
