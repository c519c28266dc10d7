/** Links between hosts over which one copies the other's state. */
import type { Clock, View } from '@coord/protocol';
import type { Link, PeerNetwork } from '@coord/transport';
import type { KeyedView, LinkKeys } from './link-keys.js';
import { challengePeer, greetPeer } from './peer-handshake.js';
import { orPeerLoss } from './peer-loss.js';
import type { StateSource } from './state-copy.js';
import type { StateServer } from './state-server.js';

/** Service of the peer network at which a host's state is had. */
const STATE_SERVICE = 'state';

/** What it takes to reach the members of a view. */
export interface PeerContext {
  readonly network: PeerNetwork;
  readonly keys: LinkKeys;
  readonly view: View;
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Closes every link that is opened meanwhile. */
  readonly signal: AbortSignal;
}

export function stateSource(context: PeerContext, rank: number): StateSource {
  const { network, keys, view, timeoutMs, signal } = context;
  const member = view.members[rank];
  const label = `worker ${member.name} (rank ${rank})`;
  return {
    label,
    async open() {
      const link = await orPeerLoss(
        network.dialLink(member.endpoint, STATE_SERVICE, { timeoutMs, signal }),
        rank,
        label,
      );
      const stop = () => void link.close('not wanted any longer');
      signal.addEventListener('abort', stop, { once: true });
      void link.closed.then(() => signal.removeEventListener('abort', stop));
      const greeting = greetPeer(link, { service: STATE_SERVICE, view, keys, peerKey: member.linkKey });
      await orPeerLoss(closeWhenLate(link, context, greeting), rank, label);
      return link;
    },
  };
}

export interface StateService {
  readonly network: PeerNetwork;
  readonly keys: LinkKeys;
  /** The view in force. */
  readonly view: () => KeyedView | undefined;
  readonly clock: Clock;
  /** Time for a peer to prove itself. */
  readonly timeoutMs: number;
}

/** Lets those that know the current view copy this host's state. */
export function serveState({ network, keys, view, clock, timeoutMs }: StateService, server: StateServer): void {
  const serve = async (link: Link): Promise<void> => {
    await closeWhenLate(link, { clock, timeoutMs }, challengePeer(link, { service: STATE_SERVICE, keys, view }));
    await server.serve(link);
  };
  network.onLink(STATE_SERVICE, (link) => {
    serve(link).catch((error) => link.close(error instanceof Error ? error.message : String(error)));
  });
}

interface Patience {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

async function closeWhenLate<T>(link: Link, { clock, timeoutMs }: Patience, handshake: Promise<T>): Promise<T> {
  const cancel = clock.after(timeoutMs, () => void link.close(`no handshake within ${timeoutMs} ms`));
  return handshake.finally(cancel);
}
