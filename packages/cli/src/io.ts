/** What a command may touch of its process, passed in so that tests can look at it. */
import { setImmediate } from 'node:timers/promises';
import { EXIT_CODE } from '@coord/protocol';

export interface TextOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface CommandIo {
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Calls `handler` on every SIGINT and SIGTERM; the returned function stops that. */
  onInterrupt(handler: (signal: Interrupt) => void): () => void;
  /** Ends the process at once; the second Ctrl-C does it. */
  exit(code: number): void;
}

const INTERRUPTS = ['SIGINT', 'SIGTERM'] as const;
export type Interrupt = (typeof INTERRUPTS)[number];

export function processIo(): CommandIo {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    onInterrupt(handler) {
      for (const signal of INTERRUPTS) process.on(signal, handler);
      return () => {
        for (const signal of INTERRUPTS) process.off(signal, handler);
      };
    },
    exit: (code) => process.exit(code),
  };
}

/** A reader that has gone wanted no more: a closed pipe, a terminal that is no longer there. */
const READER_GONE: ReadonlySet<string | undefined> = new Set(['EPIPE', 'EIO']);

/**
 * Output that cannot be written is lost, and the command goes on: a run does not end because its log's disk is full, or because
 * somebody reads only its first lines.
 *
 * @returns what becomes of an exit status once the command is done: an incomplete output is no success, unless its reader has gone.
 */
export function outliveOutput(): (exitCode: number) => Promise<number> {
  let lost: NodeJS.ErrnoException | undefined;
  process.stdout.on('error', (error) => {
    lost ??= error;
  });
  process.stderr.on('error', () => {});
  return async (exitCode) => {
    // A failed write is told after the call.
    await setImmediate();
    if (exitCode !== EXIT_CODE.ok || !lost || READER_GONE.has(lost.code)) return exitCode;
    const what = 'what this command has printed is not complete; what else it did is not affected';
    writeLine(process.stderr, `error: standard output cannot be written (${lost.message}): ${what}`);
    return EXIT_CODE.checkpoint;
  };
}

export const writeLine = (output: TextOutput, text: string): void => {
  output.write(`${text}\n`);
};

export const writeJson = (output: TextOutput, value: object): void => writeLine(output, JSON.stringify(value));
