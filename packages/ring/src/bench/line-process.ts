/** A program that answers each command with one line of JSON. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export class LineProcess {
  private readonly child: ChildProcess;
  private readonly answers: AsyncIterator<string>;

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    // A program that cannot be started, or ends early, shows in the answer that does not come.
    this.child.on('error', () => {});
    this.child.stdin?.on('error', () => {});
    this.answers = createInterface({ input: this.child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async answer(): Promise<Record<string, unknown>> {
    const { value, done } = await this.answers.next();
    if (done) throw new Error(`${this.child.spawnfile} ended early`);
    return JSON.parse(value) as Record<string, unknown>;
  }

  command(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.stdin?.end();
    if (this.child.exitCode === null && this.child.signalCode === null) await exited;
  }
}
