/**
 * Opens this host's links for one view: to and from its neighbours in the ring, and both ways with the ranks that recursive
 * doubling pairs it with. One link a direction and peer: a neighbour that is also a partner needs no second one, because the
 * operations of a ring follow one another. The receiver dials, the sender listens: see docs/decisions.
 */
import { setMaxListeners } from 'node:events';
import type { Arena, Clock } from '@coord/protocol';
import { createRing, doublingPartners, type Partners, type Ring } from '@coord/ring';
import type { PeerNetwork, SegmentReceiver, SegmentSender } from '@coord/transport';
import type { LinkKeys } from './link-keys.js';
import type { ActiveView } from './membership.js';
import { orPeerLoss } from './peer-loss.js';

export interface RingOptions {
  readonly network: PeerNetwork;
  readonly keys: LinkKeys;
  readonly arena: Arena;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** By the rank at the other end. */
interface RingLinks {
  readonly senders: ReadonlyMap<number, SegmentSender>;
  readonly receivers: ReadonlyMap<number, SegmentReceiver>;
}

/** @throws CoordError RING_BROKEN, LINK_TIMEOUT, VIEW_CHANGED. */
export async function openRing(active: ActiveView, options: RingOptions): Promise<Ring> {
  const { view, rank, signal } = active;
  const size = view.members.length;
  const { timeoutMs, clock } = options;
  const base = { rank, size, timeoutMs, signal, clock };
  if (size === 1) return createRing({ ...base, next: undefined, prev: undefined }, options.arena);
  const nextRank = (rank + 1) % size;
  const prevRank = (rank + size - 1) % size;
  const partnerRanks = doublingPartners({ rank, size });
  const links = await openLinks(active, options, {
    to: [...new Set([nextRank, ...partnerRanks])],
    from: [...new Set([prevRank, ...partnerRanks])],
  });
  const partners = partnersAmong(partnerRanks, links);
  const [next, prev] = [links.senders.get(nextRank), links.receivers.get(prevRank)];
  return createRing({ ...base, next, prev, partners }, options.arena);
}

/** All at once, so that a view costs one round trip however many links it has. */
async function openLinks(
  { view, rank, signal }: ActiveView,
  { network, keys, timeoutMs }: RingOptions,
  { to, from }: { to: readonly number[]; from: readonly number[] },
): Promise<RingLinks> {
  const giveUp = new AbortController();
  const link = {
    generation: view.generation,
    timeoutMs,
    signal: AbortSignal.any([signal, giveUp.signal]),
  };
  // Node takes more than ten listeners of one signal for a leak, and says so.
  setMaxListeners(to.length + from.length, link.signal);
  const keyTo = (peer: number) => keys.pairKey(view.members[peer].linkKey, view);
  const labelOf = (peer: number) => `worker ${view.members[peer].name} (rank ${peer})`;
  const accepting = to.map(async (peer) => {
    const accepted = network.acceptSegments({ ...link, key: keyTo(peer), senderRank: rank, rank: peer });
    return orPeerLoss(accepted, peer, labelOf(peer));
  });
  const dialing = from.map(async (peer) => {
    const { endpoint } = view.members[peer];
    const dialed = network.dialSegments(endpoint, { ...link, key: keyTo(peer), senderRank: peer, rank });
    return orPeerLoss(dialed, peer, labelOf(peer));
  });
  try {
    const [senders, receivers] = await Promise.all([Promise.all(accepting), Promise.all(dialing)]);
    return { senders: byRank(to, senders), receivers: byRank(from, receivers) };
  } catch (error) {
    // Half a ring is no ring: no link, open or opening, outlives this attempt.
    giveUp.abort(error);
    for (const opened of await Promise.allSettled([...accepting, ...dialing])) {
      if (opened.status === 'fulfilled') opened.value.close();
    }
    throw error;
  }
}

const byRank = <T>(ranks: readonly number[], links: readonly T[]): Map<number, T> =>
  new Map(links.map((link, index) => [ranks[index], link]));

function partnersAmong(ranks: readonly number[], { senders, receivers }: RingLinks): Partners {
  return new Map(
    ranks.flatMap((peer) => {
      const [sender, receiver] = [senders.get(peer), receivers.get(peer)];
      return sender && receiver ? [[peer, { sender, receiver }] as const] : [];
    }),
  );
}
