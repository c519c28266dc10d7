/**
 * How long a ring has waited for its peers to begin, as against moving bytes: the time before the first segment of each step
 * arrives. A host that comes late to an operation delays exactly those, of its neighbour and through it of the others.
 */
import type { Clock } from '@coord/protocol';

export class PeerWait {
  private pastMs = 0;
  private sinceMs: number | undefined;

  constructor(private readonly clock: Clock) {}

  /** So far, the wait in progress included. */
  get totalMs(): number {
    return this.pastMs + (this.sinceMs === undefined ? 0 : this.clock.nowMs() - this.sinceMs);
  }

  /** Does nothing while it waits already. */
  begin(): void {
    this.sinceMs ??= this.clock.nowMs();
  }

  end(): void {
    this.pastMs = this.totalMs;
    this.sinceMs = undefined;
  }
}
