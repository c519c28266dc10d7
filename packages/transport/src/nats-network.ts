/** The peer network over NATS: hosts that only dial out reach each other through the server. */
import { randomUUID } from 'node:crypto';
import { CoordError, LIMITS, type NatsEndpoint, type PeerEndpoint } from '@coord/protocol';
import type { NatsGateway } from './nats-gateway.js';
import { connectNatsLink, listenNatsLinks } from './nats-rendezvous.js';
import { acceptNatsSegments, dialNatsSegments } from './nats-segments.js';
import type { PeerNetwork } from './peer-network.js';
import type { LinkListener } from './ws-listen.js';

/** @param prefix root of the run's subjects. The gateway stays open when the network is closed. */
export function createNatsNetwork(gateway: NatsGateway, prefix: string): PeerNetwork {
  const endpoint: NatsEndpoint = { natsSubject: `${prefix}.host.${randomUUID()}` };
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
        listener = listenNatsLinks(connection, { subject: subjectOf(endpoint, service), strangerBytes }, handler);
      });
      stops.push(() => {
        forget();
        void listener?.close();
      });
    },
    dialLink: async (peer, service, { timeoutMs, signal }) =>
      connectNatsLink(gateway.connection, { subject: subjectOf(peer, service), timeoutMs, signal }),
    async close() {
      for (const stop of stops.splice(0)) stop();
    },
  };
}

/** @throws CoordError UNREACHABLE for a peer of another transport. */
function subjectOf(peer: PeerEndpoint, service: string): string {
  if ('natsSubject' in peer) return `${peer.natsSubject}.${service}`;
  throw new CoordError('UNREACHABLE', `${peer.host}:${peer.port} is reached by a socket, not over NATS`, {
    hint: 'All hosts of a run use one transport: give workers the address that `coord start` printed.',
  });
}
