/** Opens this host's two ring links for one view. The receiver dials, the sender listens: see docs/decisions. */
import type { Arena } from '@coord/protocol';
import { createRing, type Ring } from '@coord/ring';
import type { PeerNetwork } from '@coord/transport';
import type { ActiveView } from './membership.js';

export interface RingOptions {
  readonly network: PeerNetwork;
  readonly arena: Arena;
  readonly timeoutMs: number;
}

/** @throws CoordError RING_BROKEN, LINK_TIMEOUT, VIEW_CHANGED. */
export async function openRing({ view, rank, signal }: ActiveView, options: RingOptions): Promise<Ring> {
  const { network, arena, timeoutMs } = options;
  const size = view.members.length;
  const base = { rank, size, timeoutMs, signal };
  if (size === 1) return createRing({ ...base, next: undefined, prev: undefined }, arena);
  const link = { generation: view.generation, key: view.ringKey, timeoutMs, signal };
  const nextRank = (rank + 1) % size;
  const prevRank = (rank + size - 1) % size;
  const [accepting, dialing] = await Promise.allSettled([
    network.acceptSegments({ ...link, senderRank: rank, rank: nextRank }),
    network.dialSegments(view.members[prevRank].endpoint, { ...link, senderRank: prevRank, rank }),
  ]);
  if (accepting.status === 'rejected' || dialing.status === 'rejected') {
    // Half a ring is no ring: whichever link did open must not outlive this attempt.
    if (accepting.status === 'fulfilled') accepting.value.close();
    if (dialing.status === 'fulfilled') dialing.value.close();
    throw accepting.status === 'rejected' ? accepting.reason : (dialing as PromiseRejectedResult).reason;
  }
  return createRing({ ...base, next: accepting.value, prev: dialing.value }, arena);
}
