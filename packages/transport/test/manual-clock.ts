import type { Clock } from '@coord/protocol';

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** A clock that stands still until the test moves it. */
export class ManualClock implements Clock {
  private timeMs = 0;
  private readonly timers = new Set<Timer>();

  get pending(): number {
    return this.timers.size;
  }

  nowMs(): number {
    return this.timeMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.timeMs + delayMs, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** Fires what falls due, in order, letting promises settle after each. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.timeMs + byMs;
    for (let timer = this.nextUntil(untilMs); timer; timer = this.nextUntil(untilMs)) {
      this.timers.delete(timer);
      this.timeMs = timer.dueMs;
      timer.callback();
      await new Promise(setImmediate);
    }
    this.timeMs = untilMs;
  }

  private nextUntil(untilMs: number): Timer | undefined {
    const due = [...this.timers].filter((timer) => timer.dueMs <= untilMs);
    return due.sort((a, b) => a.dueMs - b.dueMs)[0];
  }
}
