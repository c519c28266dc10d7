/** The peer network over WebSockets: every host listens, and its peers dial it. */
import { CoordError, type Endpoint, type PeerEndpoint } from '@coord/protocol';
import { hostForUrl } from './address.js';
import { dialSegments } from './dial-segments.js';
import { createPeerListener, type PeerListenerOptions } from './peer-listener.js';
import type { DialMeta, PeerNetwork } from './peer-network.js';
import { connectLink } from './ws-connect.js';

const HEADER_PREFIX = 'x-coord-';

/** @throws CoordError PORT_IN_USE; UNREACHABLE when the host is no address of this machine. */
export async function createWsNetwork(options: PeerListenerOptions): Promise<PeerNetwork> {
  const listener = await createPeerListener(options);
  return {
    endpoint: listener.endpoint,
    acceptSegments: (link) => listener.acceptSegments(link),
    dialSegments: async (peer, link) => dialSegments(socketOf(peer), link),
    onLink(service, handler) {
      listener.onLink(pathOf(service), (link, { headers }) => handler(link, metaOf(headers)));
    },
    dialLink: async (peer, service, { meta = {}, ...dial }) =>
      connectLink(urlOf(socketOf(peer), service), { ...dial, headers: headersOf(meta) }),
    close: () => listener.close(),
  };
}

const pathOf = (service: string): string => `/${service}`;

const urlOf = ({ host, port }: Endpoint, service: string): string =>
  `ws://${hostForUrl(host)}:${port}${pathOf(service)}`;

/** @throws CoordError UNREACHABLE for a peer of another transport. */
function socketOf(peer: PeerEndpoint): Endpoint {
  if ('host' in peer) return peer;
  throw new CoordError('UNREACHABLE', `${peer.natsSubject} is reached over NATS, not by a socket`, {
    hint: 'All hosts of a run use one transport: give workers the address that `coord start` printed.',
  });
}

const headersOf = (meta: DialMeta): Record<string, string> =>
  Object.fromEntries(Object.entries(meta).map(([name, value]) => [`${HEADER_PREFIX}${name}`, value]));

const metaOf = (headers: NodeJS.Dict<string | string[]>): DialMeta =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith(HEADER_PREFIX) && typeof value === 'string' ? [[name.slice(HEADER_PREFIX.length), value]] : [],
    ),
  );
