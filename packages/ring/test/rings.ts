/** Rings of several ranks in one process, over either kind of link. */

import type { Arena, Clock } from '@coord/protocol';
import { createPeerListener, dialSegments } from '@coord/transport';
import { createSegmentPair } from '@coord/transport/testing';
import { doublingPartners, type Partner, type Partners } from '../src/doubling.js';
import { createRing, type Ring, type RingContext } from '../src/ring.js';

export interface TestRings {
  readonly rings: readonly Ring[];
  /** Loses the link from `rank` to the next one. */
  cut(rank: number): void;
  dispose(): Promise<void>;
}

interface RingOptions extends Partial<RingContext> {
  /** Its timers never fire, like those of a process that is stopped. */
  readonly stoppedRank?: number;
  readonly latencyMs?: number;
  readonly arenas?: readonly Arena[];
  /** Links for recursive doubling as well. */
  readonly doubling?: boolean;
}

export type CreateRings = (size: number, options?: RingOptions) => Promise<TestRings>;

const TIMEOUT_MS = 10_000;

const STOPPED: Clock = { nowMs: () => 0, after: () => () => {} };
const clockOf = (rank: number, { stoppedRank, clock }: RingOptions) => (rank === stoppedRank ? STOPPED : clock);

type Place = Pick<RingContext, 'rank' | 'size' | 'next' | 'prev' | 'partners'>;

const ringOf = (place: Place, options: RingOptions): Ring =>
  createRing(
    { timeoutMs: TIMEOUT_MS, ...options, ...place, clock: clockOf(place.rank, options) },
    options.arenas?.[place.rank],
  );

export const memoryRings: CreateRings = async (size, options = {}) => {
  const pairs = Array.from({ length: size }, () => createSegmentPair(options));
  const mesh = options.doubling ? createMesh(size, options) : [];
  const rings = pairs.map(({ sender: next }, rank) => {
    const prev = pairs[(rank + size - 1) % size].receiver;
    return ringOf({ rank, size, next, prev, partners: mesh[rank] }, options);
  });
  return { rings, cut: (rank) => pairs[rank].cut(), dispose: () => closeAll(rings) };
};

export const socketRings: CreateRings = async (size, options = {}) => {
  const listeners = await Promise.all(Array.from({ length: size }, () => createPeerListener({ host: '127.0.0.1' })));
  const link = { generation: 1, key: 'key of the test', timeoutMs: TIMEOUT_MS };
  const senders = listeners.map((listener, rank) => listener.acceptSegments({ ...link, rank: (rank + 1) % size }));
  const receivers = listeners.map((_, rank) =>
    dialSegments(listeners[(rank + size - 1) % size].endpoint, { ...link, rank }),
  );
  const partnerLink = { ...link, purpose: 'doubling' };
  const partner = async (rank: number, peer: number): Promise<[number, Partner]> => {
    const [sender, receiver] = await Promise.all([
      listeners[rank].acceptSegments({ ...partnerLink, rank: peer }),
      dialSegments(listeners[peer].endpoint, { ...partnerLink, rank }),
    ]);
    return [peer, { sender, receiver }];
  };
  const rings = await Promise.all(
    listeners.map(async (_, rank) => {
      const peers = options.doubling ? doublingPartners({ rank, size }) : [];
      const partners = new Map(await Promise.all(peers.map((peer) => partner(rank, peer))));
      const [next, prev] = await Promise.all([senders[rank], receivers[rank]]);
      return ringOf({ rank, size, next, prev, partners }, options);
    }),
  );
  return {
    rings,
    cut: (rank) => void listeners[rank].close(),
    async dispose() {
      await closeAll(rings);
      await Promise.all(listeners.map((listener) => listener.close()));
    },
  };
};

/** For each rank its links with every other. */
function createMesh(size: number, options: RingOptions): Partners[] {
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  const pairs = ranks.map(() => ranks.map(() => createSegmentPair(options)));
  return ranks.map(
    (rank) =>
      new Map(
        ranks
          .filter((peer) => peer !== rank)
          .map((peer) => [peer, { sender: pairs[rank][peer].sender, receiver: pairs[peer][rank].receiver }]),
      ),
  );
}

const closeAll = async (rings: readonly Ring[]): Promise<void> => {
  await Promise.all(rings.map((ring) => ring.close()));
};
