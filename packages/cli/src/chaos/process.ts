/** One real `coord` process of a chaos run: what it says with `--json`, and how it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { DIRECTORY_VARIABLE } from './inside-files.js';

const COORD = fileURLToPath(new URL('../../bin/coord.js', import.meta.url));
const INSIDE = new URL('./inside.js', import.meta.url).href;

export interface SaidEvent {
  readonly event: string;
  readonly [key: string]: unknown;
}

export interface ProcessOptions {
  readonly args: readonly string[];
  /** What comes before `node`, to run it elsewhere. */
  readonly prefix?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where the files of inside.ts lie. */
  readonly insideDirectory: string;
  readonly stderrFile: string;
  readonly onEvent?: (event: SaidEvent) => void;
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class CoordProcess {
  readonly pid: number;
  readonly ended: Promise<ProcessEnd>;
  /** What it reported as its error, if it did. */
  error: SaidEvent | undefined;
  /** Somebody of this run asked for its end. */
  isEndOrdered = false;
  #child: ChildProcess;
  #isRunning = true;

  constructor(options: ProcessOptions) {
    const child = launch(options);
    this.#child = child;
    this.pid = child.pid ?? 0;
    createInterface({ input: child.stdout! }).on('line', (line) => this.#line(line, options));
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.#isRunning = false;
        resolve({ code, signal });
      });
    });
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#isRunning) this.#child.kill(signal);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT'): Promise<ProcessEnd> {
    this.isEndOrdered = true;
    this.signal(signal);
    return this.ended;
  }

  #line(line: string, { onEvent }: ProcessOptions): void {
    const said = eventOf(line);
    if (!said) return;
    if (said.event === 'error') this.error = said;
    onEvent?.(said);
  }
}

function eventOf(line: string): SaidEvent | undefined {
  try {
    return JSON.parse(line) as SaidEvent;
  } catch {
    // The last line of a process that was killed may be cut off.
    return undefined;
  }
}

function launch({ args, prefix = [], env, insideDirectory, stderrFile }: ProcessOptions): ChildProcess {
  const [command, ...rest] = [...prefix, process.execPath, COORD, ...args];
  const stderr = openSync(stderrFile, 'a');
  const nodeOptions = `${process.env.NODE_OPTIONS ?? ''} --import ${INSIDE}`.trim();
  const child = spawn(command, rest, {
    stdio: ['ignore', 'pipe', stderr],
    env: { ...process.env, ...env, NODE_OPTIONS: nodeOptions, [DIRECTORY_VARIABLE]: insideDirectory, NO_COLOR: '1' },
    // A group of its own: Ctrl-C ends the chaos, which then ends the others.
    detached: true,
  });
  closeSync(stderr);
  running.add(child);
  child.once('close', () => running.delete(child));
  return child;
}

/** Whatever ends this process, none of its own outlives it. */
const running = new Set<ChildProcess>();
process.once('exit', killAll);

function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Resolves when none is left that writes to any file. */
export async function endAll(): Promise<void> {
  killAll();
  await Promise.all([...running].map((child) => once(child, 'close')));
}
