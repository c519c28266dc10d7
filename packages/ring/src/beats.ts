/**
 * Beats: how ranks that wait tell one that is slow from one that is gone. A rank that is in no operation (it computes, say) tells so
 * on all its links, every now and then; one that is in an operation passes on what it hears from the rank that it waits for. So beats
 * come from whoever holds the operation up, along the chain of those that wait for each other, and nobody's life covers another's death:
 * behind a rank that stands still, or a link that is cut, nothing is heard, and the operation ends after its time-out.
 *
 * A beat makes as many hops as there are other ranks, at most: in a circle of ranks that all wait none goes round for ever.
 */
import type { Clock } from '@coord/protocol';
import type { SegmentReceiver, SegmentSender } from '@coord/transport';

/** Beats of one rank come so many times in the time after which silence ends an operation. */
const BEATS_PER_TIMEOUT = 5;
const RANK_BITS = 16;
const RANK_MASK = 2 ** RANK_BITS - 1;

export interface BeatLinks {
  readonly senders: ReadonlySet<SegmentSender>;
  /** By the rank at the other end. */
  readonly receivers: ReadonlyMap<number, SegmentReceiver>;
}

export interface BeatsOptions {
  readonly rank: number;
  readonly size: number;
  readonly links: BeatLinks;
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** The rank that the operation in progress waits for; undefined in none. */
  readonly waitsFor: () => number | undefined;
  /** The rank that this one waits for lives, or waits itself for others, at the end of whom is this one. */
  readonly onBeat: (origin: number) => void;
}

/** `hops` are those that it may still make. */
export const encodeBeat = (origin: number, hops: number): number => hops * 2 ** RANK_BITS + origin;
export const decodeBeat = (value: number) => ({ origin: value & RANK_MASK, hops: value >>> RANK_BITS });

export class Beats {
  private cancel: () => void = () => {};

  constructor(private readonly options: BeatsOptions) {
    for (const [peer, receiver] of options.links.receivers) receiver.onBeat((value) => this.hear(peer, value));
    this.begin();
  }

  stop(): void {
    this.cancel();
  }

  private begin(): void {
    const { clock, timeoutMs } = this.options;
    this.cancel = clock.after(timeoutMs / BEATS_PER_TIMEOUT, () => {
      this.begin();
      this.beat();
    });
  }

  private beat(): void {
    const { rank, size, waitsFor } = this.options;
    if (waitsFor() === undefined) this.tell(encodeBeat(rank, size - 1));
  }

  private hear(peer: number, value: number): void {
    const { rank, size, waitsFor, onBeat } = this.options;
    const { origin, hops } = decodeBeat(value);
    if (peer !== waitsFor() || origin >= size || origin === rank || hops < 1 || hops >= size) return;
    onBeat(origin);
    if (hops > 1) this.tell(encodeBeat(origin, hops - 1));
  }

  private tell(value: number): void {
    for (const sender of this.options.links.senders) sender.beat(value);
  }
}
