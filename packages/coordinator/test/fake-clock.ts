import type { Clock } from '@coord/protocol';

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is told to go on; callbacks run in the order of their times. */
export class FakeClock implements Clock {
  private now = 0;
  private readonly timers = new Set<Timer>();

  nowMs(): number {
    return this.now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.now + delayMs, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = [...this.timers].filter(({ dueMs }) => dueMs <= end).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (!next) break;
      this.timers.delete(next);
      this.now = Math.max(this.now, next.dueMs);
      next.callback();
    }
    this.now = end;
  }

  get pending(): number {
    return this.timers.size;
  }
}
