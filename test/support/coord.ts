/** Starts the real `coord` program as a process of its own, and reads what it says with `--json`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const REPOSITORY = join(import.meta.dirname, '..', '..');
const BIN = join(REPOSITORY, 'packages', 'cli', 'bin', 'coord.js');

export interface CoordEvent {
  readonly event: string;
  readonly [key: string]: unknown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<ChildProcess>();

export class CoordProcess {
  readonly events: CoordEvent[] = [];
  stdout = '';
  stderr = '';
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #wake: (() => void)[] = [];
  #exit: Exit | undefined;

  constructor(args: readonly string[], options: { env?: Record<string, string>; cwd?: string } = {}) {
    const child = spawn(process.execPath, [BIN, ...args], {
      cwd: options.cwd ?? REPOSITORY,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...options.env },
    });
    this.#child = child;
    running.add(child);
    createInterface({ input: child.stdout }).on('line', (line) => this.#line(line));
    child.stderr.on('data', (data) => {
      this.stderr += String(data);
    });
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        running.delete(child);
        this.#exit = { code, signal };
        this.#notify();
        resolve(this.#exit);
      });
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal);
  }

  /**
   * The first event, past or to come, that `matches`; the first `from` events do not count. Looks at each event once, since
   * a run can have very many. @throws when the process ends without it.
   */
  async event(matches: string | ((event: CoordEvent) => boolean), from = 0): Promise<CoordEvent> {
    const test = typeof matches === 'string' ? (event: CoordEvent) => event.event === matches : matches;
    for (let next = from; ; ) {
      for (; next < this.events.length; next++) if (test(this.events[next])) return this.events[next];
      if (this.#exit)
        throw new Error(
          `coord ended (${JSON.stringify(this.#exit)}) before the event came:\n${this.stdout}\n${this.stderr}`,
        );
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  #line(line: string): void {
    this.stdout += `${line}\n`;
    if (line.startsWith('{')) this.events.push(JSON.parse(line) as CoordEvent);
    this.#notify();
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}

export const coord = (
  args: readonly string[],
  options?: { env?: Record<string, string>; cwd?: string },
): CoordProcess => new CoordProcess(args, options);

/** Runs a command to its end. */
export async function runCoord(args: readonly string[], options?: { env?: Record<string, string>; cwd?: string }) {
  const process = coord(args, options);
  const exit = await process.exited;
  return { ...exit, process, stdout: process.stdout, stderr: process.stderr, events: process.events };
}

/** Ends whatever a test has left running; call after each test. */
export async function endAll(): Promise<void> {
  const ending = [...running].map((child) => new Promise((resolve) => child.once('close', resolve)));
  for (const child of running) child.kill('SIGKILL');
  await Promise.all(ending);
}

/** What stands in a run's ledger, in order. */
export function ledgerEntries(runDir: string): Record<string, unknown>[] {
  const file = join(runDir, 'ledger.jsonl');
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'));
  return lines.map((line) => (JSON.parse(line) as { record: { entry: Record<string, unknown> } }).record.entry);
}

/** Kills every worker process that ever joined the run: those of a killed `coord start` outlive it. */
export function killWorkersOf(runDir: string): void {
  for (const { type, pid } of ledgerEntries(runDir)) {
    if (type !== 'worker-joined' || typeof pid !== 'number') continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}

export const temporaryDirectory = (): string => mkdtempSync(join(tmpdir(), 'coord-test-'));

/** A port that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
