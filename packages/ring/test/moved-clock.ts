import type { Clock } from '@coord/protocol';

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** A clock that goes on only when it is moved, with time for what each callback has started. */
export class MovedClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<Timer>();

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  async move(byMs: number): Promise<void> {
    const endMs = this.#nowMs + byMs;
    const nextDue = () => [...this.#timers].filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0];
    for (let timer = nextDue(); timer; timer = nextDue()) {
      this.#timers.delete(timer);
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      timer.callback();
      for (let round = 0; round < 5; round++) await new Promise((resolve) => setImmediate(resolve));
    }
    this.#nowMs = endMs;
  }
}
