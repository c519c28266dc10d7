/** The peer network over NATS: hosts that only dial out reach each other through the server. */
import { CoordError, KeyPair, LIMITS, type NatsEndpoint, type PeerEndpoint } from '@coord/protocol';
import type { NatsGateway } from './nats-gateway.js';
import { connectNatsLink, listenNatsLinks } from './nats-rendezvous.js';
import { acceptNatsSegments, dialNatsSegments } from './nats-segments.js';
import type { PeerNetwork } from './peer-network.js';
import type { LinkListener } from './ws-listen.js';

/**
 * A host's address ends in the public half of its standing key: whoever has it from the view is answered by nobody else.
 *
 * @param prefix root of the run's subjects. The gateway stays open when the network is closed.
 */
export function createNatsNetwork(gateway: NatsGateway, prefix: string): PeerNetwork {
  const standing = KeyPair.create();
  const endpoint: NatsEndpoint = { natsSubject: `${prefix}.host.${standing.publicKey}` };
  const strangerBytes = 2 * LIMITS.handshakeBytes;
  const stops: (() => void)[] = [];
  return {
    endpoint,
    acceptSegments: async (link) => acceptNatsSegments({ ...link, prefix, connection: gateway.connection }),
    dialSegments: async (_peer, link) => dialNatsSegments({ ...link, prefix, connection: gateway.connection }),
    onLink(service, handler) {
      // Those of connections before are gone with them.
      let listener: LinkListener | undefined;
      const forget = gateway.onConnection((connection) => {
        const subject = subjectOf(endpoint, service);
        listener = listenNatsLinks(connection, { subject, standing, strangerBytes }, handler);
      });
      stops.push(() => {
        forget();
        void listener?.close();
      });
    },
    async dialLink(peer, service, options) {
      const subject = subjectOf(peer, service);
      return connectNatsLink(gateway.connection, { ...options, subject, standingKey: standingKeyOf(peer) });
    },
    async close() {
      for (const stop of stops.splice(0)) stop();
    },
  };
}

const standingKeyOf = (peer: PeerEndpoint): string | undefined =>
  'natsSubject' in peer ? peer.natsSubject.split('.').at(-1) : undefined;

/** @throws CoordError UNREACHABLE for a peer of another transport. */
function subjectOf(peer: PeerEndpoint, service: string): string {
  if ('natsSubject' in peer) return `${peer.natsSubject}.${service}`;
  throw new CoordError('UNREACHABLE', `${peer.host}:${peer.port} is reached by a socket, not over NATS`, {
    hint: 'All hosts of a run use one transport: give workers the address that `coord start` printed.',
  });
}
