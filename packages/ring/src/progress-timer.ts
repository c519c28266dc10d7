import type { Clock } from '@coord/protocol';

/** Fires when nothing has been heard for a while. Hearing something costs a clock reading, not a new timer. */
export class ProgressTimer {
  private heardAtMs: number;
  private cancel: () => void;

  constructor(
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    private readonly onSilence: () => void,
  ) {
    this.heardAtMs = clock.nowMs();
    this.cancel = this.arm(timeoutMs);
  }

  heard(): void {
    this.heardAtMs = this.clock.nowMs();
  }

  stop(): void {
    this.cancel();
  }

  private arm(delayMs: number): () => void {
    return this.clock.after(delayMs, () => {
      const restMs = this.heardAtMs + this.timeoutMs - this.clock.nowMs();
      if (restMs <= 0) this.onSilence();
      else this.cancel = this.arm(restMs);
    });
  }
}
