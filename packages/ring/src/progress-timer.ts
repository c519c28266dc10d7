import type { Clock } from '@coord/protocol';

/** A rank that lives, and does not come, is waited for so many times as long as one that is silent. */
export const PATIENCE_FACTOR = 40;

/** Why it is given up: nothing was heard for the time-out, or only that this rank lives, for `PATIENCE_FACTOR` times as long. */
export type Silence = { readonly type: 'silent' } | { readonly type: 'held-up'; readonly by: number };

/** Fires when nothing has been heard for a while. Hearing something costs a clock reading, not a new timer. */
export class ProgressTimer {
  private heardAtMs: number;
  private beatAtMs: number;
  private heldUpBy: number | undefined;
  private cancel: () => void;

  constructor(
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    private readonly onSilence: (silence: Silence) => void,
  ) {
    this.heardAtMs = clock.nowMs();
    this.beatAtMs = this.heardAtMs;
    this.cancel = this.arm(timeoutMs);
  }

  /** The operation has made progress. */
  heard(): void {
    this.heardAtMs = this.clock.nowMs();
  }

  /** This rank lives, and has not come to the operation yet. */
  lives(rank: number): void {
    this.beatAtMs = this.clock.nowMs();
    this.heldUpBy = rank;
  }

  stop(): void {
    this.cancel();
  }

  private arm(delayMs: number): () => void {
    return this.clock.after(delayMs, () => {
      const nowMs = this.clock.nowMs();
      const silentAtMs = Math.max(this.heardAtMs, this.beatAtMs) + this.timeoutMs;
      const patienceEndsMs = this.heardAtMs + PATIENCE_FACTOR * this.timeoutMs;
      if (nowMs >= silentAtMs) this.onSilence({ type: 'silent' });
      else if (nowMs >= patienceEndsMs) this.onSilence({ type: 'held-up', by: this.heldUpBy! });
      else this.cancel = this.arm(Math.min(silentAtMs, patienceEndsMs) - nowMs);
    });
  }
}
