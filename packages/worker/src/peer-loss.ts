/**
 * A peer that cannot be reached ends a view, never this worker. `UNREACHABLE` and the like are fatal where somebody joins a run; of a
 * member of the view they mean that a link is missing, and the next view may do without it. Only where a server lets this worker have no links
 * at all does no view help.
 */
import { CoordError, isRecoverable } from '@coord/protocol';

/** @throws CoordError what `opening` rejects with where that is recoverable, or NATS_DENIED, else LINK_CLOSED that names the peer. */
export async function orPeerLoss<T>(opening: Promise<T>, rank: number, label: string): Promise<T> {
  try {
    return await opening;
  } catch (cause) {
    if (!(cause instanceof CoordError) || isRecoverable(cause) || cause.code === 'NATS_DENIED') throw cause;
    throw new CoordError('LINK_CLOSED', `no link to ${label}: ${cause.message}`, { facts: { peer: rank }, cause });
  }
}
