/**
 * How far the coordinator's clock is ahead of this host's, from the heartbeats' round trips: an echo that comes back after
 * r ms was made within that time, so taking its middle is wrong by r/2 at most; of the last echoes the quickest counts.
 *
 * Source: F. Cristian, "Probabilistic clock synchronization", Distributed Computing 3, 1989.
 */
import type { ClockOffset } from '@coord/protocol';

/** Half a minute of heartbeats: clocks drift apart by less than a millisecond in that time. */
const WINDOW = 64;

export class ClockOffsetEstimate {
  readonly #recent: ClockOffset[] = [];

  /**
   * @param sentMs when the heartbeat left, and `receivedMs` when its echo came, by this host's clock.
   * @param echoUnixMs when the coordinator answered, by its own clock.
   */
  add(sentMs: number, echoUnixMs: number, receivedMs: number): void {
    const roundTripMs = Math.max(0, receivedMs - sentMs);
    this.#recent.push({ offsetMs: echoUnixMs - (sentMs + roundTripMs / 2), roundTripMs });
    if (this.#recent.length > WINDOW) this.#recent.shift();
  }

  /** Null before the first echo. */
  get best(): ClockOffset | null {
    const [first, ...rest] = this.#recent;
    return first ? rest.reduce((best, one) => (one.roundTripMs < best.roundTripMs ? one : best), first) : null;
  }
}
