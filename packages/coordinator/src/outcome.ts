/** Outcome: how the run ended, decided once. */
import type { CoordError } from '@coord/protocol';
import type { RunResult } from './events.js';

export class Outcome {
  readonly promise: Promise<RunResult>;
  private settle!: { resolve(result: RunResult): void; reject(error: CoordError): void };

  /** @param recorded resolves when the ledger holds the end: nobody is told before. */
  constructor(private readonly recorded: () => Promise<void>) {
    this.promise = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    // Whoever waits for it gets the error; until somebody does, it must not end the process.
    this.promise.catch(() => {});
  }

  succeed(result: RunResult): void {
    void this.recorded().finally(() => this.settle.resolve(result));
  }

  fail(error: CoordError): void {
    void this.recorded().finally(() => this.settle.reject(error));
  }
}
