/** Stop-watch for a change of view: what the time went into, from the end of one view to the first completed step of the next. */
import type { Clock, RecoveryTimes } from '@coord/protocol';

const LEGS = ['viewMs', 'ringMs', 'syncMs', 'grainsMs', 'stepMs'] as const satisfies readonly (keyof RecoveryTimes)[];

export class RecoveryWatch {
  #times: Partial<Record<keyof RecoveryTimes, number>> | undefined;
  #lastMs = 0;

  constructor(private readonly clock: Clock) {}

  /** Work under a view has ended: it broke, or another one is known. Further failures on the way belong to the same change. */
  start(): void {
    if (this.#times) return;
    this.#times = {};
    this.#lastMs = this.clock.nowMs();
  }

  /** A part is done; one that is repeated, because the next view broke too, counts together. */
  done(leg: keyof RecoveryTimes): void {
    if (!this.#times) return;
    const nowMs = this.clock.nowMs();
    this.#times[leg] = (this.#times[leg] ?? 0) + nowMs - this.#lastMs;
    this.#lastMs = nowMs;
  }

  /** The first step is complete. @returns undefined where no change of view was under way. */
  finish(): RecoveryTimes | undefined {
    if (!this.#times) return undefined;
    this.done('stepMs');
    const times = this.#times;
    this.#times = undefined;
    return Object.fromEntries(LEGS.map((leg) => [leg, times[leg] ?? 0])) as RecoveryTimes;
  }
}
