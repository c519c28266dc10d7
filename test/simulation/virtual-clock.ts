/** Virtual time: nothing happens between two timers, so an hour costs what its timers cost. */
import type { Clock } from '@coord/protocol';

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

const isBefore = (a: Timer, b: Timer): boolean => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);

/** All that was ready to run has run: memory links, and what the worker's loop does next, need microtasks and one immediate. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

export class VirtualClock implements Clock {
  #nowMs = 0;
  #orders = 0;
  /** A binary heap, the next timer first. */
  readonly #heap: Timer[] = [];
  readonly #cancelled = new Set<Timer>();

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#orders++, callback };
    this.#push(timer);
    return () => void this.#cancelled.add(timer);
  }

  /** Runs the timers that are due next, and all that follows from them. @returns false when there are none. */
  async advance(): Promise<boolean> {
    const first = this.#take();
    if (!first) return false;
    this.#nowMs = first.dueMs;
    first.callback();
    for (let next = this.#heap[0]; next && next.dueMs <= this.#nowMs; next = this.#heap[0]) this.#take()?.callback();
    await settle();
    return true;
  }

  #take(): Timer | undefined {
    for (let timer = this.#pop(); timer; timer = this.#pop()) if (!this.#cancelled.delete(timer)) return timer;
    return undefined;
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = timer;
  }

  #pop(): Timer | undefined {
    const heap = this.#heap;
    const [top] = heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return top;
  }
}
