/**
 * Recursive doubling: all-reduce of small buffers in about log2 N rounds instead of the ring's 2 (N − 1) steps. Every rank
 * exchanges its whole partial result with a partner at distance 1, 2, 4 …
 *
 * When N is no power of two, the first ranks form pairs: the odd one of a pair hands its values to the even one before, sits
 * out, and gets the result afterwards.
 *
 * Cost: ⌈log2 N⌉ rounds (two more for an odd one out), the whole buffer in each. Integers make it give the same bits as the ring.
 *
 * Source: R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of collective communication operations in MPICH", IJHPCA 2005.
 */
import type { SegmentReceiver, SegmentSender } from '@coord/transport';
import { FrameExchange } from './frame-exchange.js';
import type { RingPosition } from './ring-errors.js';
import type { RingPlace } from './schedule.js';
import { type ScratchSlot, SPARE_BYTES } from './scratch.js';
import type { TransferTask } from './transfer.js';

/** A link each way to one rank. */
export interface Partner {
  readonly sender: SegmentSender;
  readonly receiver: SegmentReceiver;
}

export type Partners = ReadonlyMap<number, Partner>;

export interface Round {
  /** Number that both ends give it: 0 before the exchanges, then 1, 2 …, and one more afterwards. */
  readonly step: number;
  readonly peer: number;
  readonly sends: boolean;
  /** What becomes of what the peer sends. */
  readonly receives: 'combine' | 'store' | undefined;
}

/** What a rank does, round by round. */
export function doublingRounds({ rank, size }: RingPlace): Round[] {
  const power = 2 ** Math.floor(Math.log2(size));
  const pairs = size - power;
  const isPaired = rank < 2 * pairs;
  const last = Math.log2(power) + 1;
  if (isPaired && rank % 2 === 1) {
    return [
      { step: 0, peer: rank - 1, sends: true, receives: undefined },
      { step: last, peer: rank - 1, sends: false, receives: 'store' },
    ];
  }
  const rounds = exchanges(isPaired ? rank / 2 : rank - pairs, power, pairs);
  if (!isPaired) return rounds;
  return [
    { step: 0, peer: rank + 1, sends: false, receives: 'combine' },
    ...rounds,
    { step: last, peer: rank + 1, sends: true, receives: undefined },
  ];
}

/** Exchanges among the ranks that take part, which are numbered anew from 0. */
function exchanges(position: number, power: number, pairs: number): Round[] {
  const rounds: Round[] = [];
  for (let distance = 1; distance < power; distance *= 2) {
    const partner = position ^ distance;
    const peer = partner < pairs ? partner * 2 : partner + pairs;
    rounds.push({ step: rounds.length + 1, peer, sends: true, receives: 'combine' });
  }
  return rounds;
}

/** The ranks that a rank must have links with. */
export const doublingPartners = (place: RingPlace): number[] => [
  ...new Set(doublingRounds(place).map(({ peer }) => peer)),
];

export class Doubling {
  readonly position: RingPosition;
  private readonly frames: FrameExchange;
  /** What is known of the sum. */
  private readonly partial: Uint8Array;

  /** @param slots two: one for the partial sum, one for what arrives. */
  constructor(
    private readonly task: TransferTask,
    private readonly partners: Partners,
    private readonly slots: readonly ScratchSlot[],
    private readonly onProgress: () => void,
  ) {
    this.frames = new FrameExchange(task.tag, task.schedule, task.checksum, task.wait);
    this.position = this.frames.position;
    this.partial = this.room(0);
  }

  /** @throws CoordError RING_BROKEN. The result is then undefined, and the links are of no more use. */
  async run(): Promise<void> {
    const { reduction, schedule } = this.task;
    const { partial } = this;
    const own = reduction.own(0, partial.length, partial);
    if (own !== partial) partial.set(own);
    for (const round of doublingRounds(schedule)) await this.runRound(round);
    reduction.complete(0, partial.length, partial);
  }

  private async runRound({ step, peer, sends, receives }: Round): Promise<void> {
    const { sender, receiver } = this.partners.get(peer) as Partner;
    const { partial } = this;
    const whole = { step, index: 0, start: 0, end: partial.length };
    this.frames.enter(peer, 'doubling', whole);
    const arrived = receives === 'store' ? partial : this.room(1);
    // The partial sum must have left before anything is added to it.
    if (sends) this.frames.stamp(this.slots[0].header, whole, partial);
    try {
      await Promise.all([
        sends && sender.send(this.slots[0].header, partial),
        receives && receiver.receive([this.slots[1].header, arrived], SPARE_BYTES),
      ]);
    } catch (cause) {
      throw this.frames.broken(peer, cause);
    }
    if (receives) this.frames.check(peer, whole, this.slots[1].header, arrived);
    this.onProgress();
    if (receives === 'combine') this.task.reduction.merge(partial, arrived);
  }

  private room(slot: number): Uint8Array {
    return this.slots[slot].bytes.subarray(0, this.task.reduction.totalBytes);
  }
}
