/** What a command may touch of its process, passed in so that tests can look at it. */
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

export const writeLine = (output: TextOutput, text: string): void => {
  output.write(`${text}\n`);
};

export const writeJson = (output: TextOutput, value: object): void => writeLine(output, JSON.stringify(value));
