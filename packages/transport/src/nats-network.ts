/** The peer network over NATS: hosts that only dial out reach each other through the server. */
import { randomUUID } from 'node:crypto';
import { CoordError, LIMITS, type NatsEndpoint, type PeerEndpoint } from '@coord/protocol';
import type { NatsGateway } from './nats-gateway.js';
import { connectNatsLink, listenNatsLinks } from './nats-rendezvous.js';
import { acceptNatsSegments, dialNatsSegments } from './nats-segments.js';
import type { PeerNetwork } from './peer-network.js';

/** @param prefix root of the run's subjects. The gateway stays open when the network is closed. */
export function createNatsNetwork(gateway: NatsGateway, prefix: string): PeerNetwork {
  const endpoint: NatsEndpoint = { natsSubject: `${prefix}.host.${randomUUID()}` };
  const strangerBytes = 2 * LIMITS.handshakeBytes;
  const closers: (() => void)[] = [];
  let isClosed = false;
  return {
    endpoint,
    acceptSegments: async (link) => acceptNatsSegments({ ...link, prefix, connection: gateway.connection }),
    dialSegments: async (_peer, link) => dialNatsSegments({ ...link, prefix, connection: gateway.connection }),
    onLink(service, handler) {
      gateway.onConnection((connection) => {
        if (isClosed) return;
        const listener = listenNatsLinks(connection, { subject: subjectOf(endpoint, service), strangerBytes }, handler);
        closers.push(() => void listener.close());
      });
    },
    dialLink: async (peer, service, { timeoutMs }) =>
      connectNatsLink(gateway.connection, { subject: subjectOf(peer, service), timeoutMs }),
    async close() {
      isClosed = true;
      for (const close of closers) close();
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
