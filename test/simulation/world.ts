/**
 * The world that simulated processes live in: one virtual time, machines that can stand still or die, and a network that can be
 * cut in two. Whatever would reach a process while it stands still, or through a cut, is held up until it can.
 */
import type { Clock } from '@coord/protocol';
import { VirtualClock } from './virtual-clock.js';

interface Held {
  readonly isOpen: () => boolean;
  readonly isLost: () => boolean;
  readonly deliver: () => void;
}

export class Process {
  #state: 'running' | 'hung' | 'dead' = 'running';
  /** What a grain takes longer. */
  slownessMs = 0;
  /** Its compute threads come back from no grain any more; the rest of it lives. */
  isStuck = false;

  constructor(
    readonly name: string,
    private readonly world: World,
  ) {}

  get isRunning(): boolean {
    return this.#state === 'running';
  }
  get isDead(): boolean {
    return this.#state === 'dead';
  }

  /** As SIGSTOP and SIGCONT do. */
  hang(forMs: number): void {
    if (this.#state !== 'running') return;
    this.#state = 'hung';
    this.world.time.after(forMs, () => {
      if (this.#state !== 'hung') return;
      this.#state = 'running';
      this.world.release();
    });
  }

  /** Something else wants the processor. */
  slow(byMs: number, forMs: number): void {
    this.slownessMs = byMs;
    this.world.time.after(forMs, () => {
      this.slownessMs = 0;
    });
  }

  /** As SIGKILL does; its connections end with it. */
  die(): void {
    this.#state = 'dead';
    this.world.release();
  }

  /** The process's own timers: none fires while it stands still. */
  readonly clock: Clock = {
    nowMs: () => this.world.time.nowMs(),
    after: (delayMs, callback) =>
      this.world.after(
        delayMs,
        callback,
        () => this.isRunning,
        () => this.isDead,
      ),
  };
}

export class World {
  readonly time = new VirtualClock();
  readonly #held = new Set<Held>();
  readonly #cuts = new Set<string>();
  readonly #latencies = new Map<string, number>();

  /** @param random uniform in [0, 1); the only source of chance. */
  constructor(readonly random: () => number) {}

  /** Time from one process to another: every pair has its own, so that messages of different pairs overtake each other. */
  latencyMs(a: Process, b: Process): number {
    const pair = pairOf(a, b);
    const known = this.#latencies.get(pair);
    if (known !== undefined) return known;
    const latencyMs = 0.1 + this.random() * 5;
    this.#latencies.set(pair, latencyMs);
    return latencyMs;
  }

  isCut(a: Process, b: Process): boolean {
    return this.#cuts.has(pairOf(a, b));
  }

  /** Holds up whatever goes between the two, for a while. */
  cut(a: Process, b: Process, forMs: number): void {
    const pair = pairOf(a, b);
    if (this.#cuts.has(pair)) return;
    this.#cuts.add(pair);
    this.time.after(forMs, () => {
      this.#cuts.delete(pair);
      this.release();
    });
  }

  /** The clock by which mail from one process reaches the other. */
  way(from: Process, to: Process): Clock {
    return {
      nowMs: () => this.time.nowMs(),
      after: (delayMs, callback) =>
        this.after(
          delayMs,
          callback,
          () => to.isRunning && !this.isCut(from, to),
          () => to.isDead,
        ),
    };
  }

  /** Calls back after the delay, or as soon after it as `isOpen`; never once `isLost`. */
  after(delayMs: number, callback: () => void, isOpen: () => boolean, isLost: () => boolean): () => void {
    let cancelled = false;
    const deliver = () => {
      if (!cancelled) callback();
    };
    const cancel = this.time.after(delayMs, () => {
      if (isLost()) return;
      if (isOpen()) deliver();
      else this.#held.add({ isOpen, isLost, deliver });
    });
    return () => {
      cancelled = true;
      cancel();
    };
  }

  /** Something has opened: what was held up goes on, in order. */
  release(): void {
    for (const held of this.#held) {
      if (!held.isLost() && !held.isOpen()) continue;
      this.#held.delete(held);
      if (!held.isLost()) this.time.after(0, held.deliver);
    }
  }
}

const pairOf = (a: Process, b: Process): string => [a.name, b.name].sort().join(' ');
