/** The peer network over WebSockets: every host listens, and its peers dial it. */
import type { Endpoint } from '@coord/protocol';
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
    dialSegments: (peer, link) => dialSegments(peer, link),
    onLink(service, handler) {
      listener.onLink(pathOf(service), (link, { headers }) => handler(link, metaOf(headers)));
    },
    dialLink: (peer, service, { meta = {}, ...dial }) =>
      connectLink(urlOf(peer, service), { ...dial, headers: headersOf(meta) }),
    close: () => listener.close(),
  };
}

const pathOf = (service: string): string => `/${service}`;

const urlOf = ({ host, port }: Endpoint, service: string): string =>
  `ws://${hostForUrl(host)}:${port}${pathOf(service)}`;

const headersOf = (meta: DialMeta): Record<string, string> =>
  Object.fromEntries(Object.entries(meta).map(([name, value]) => [`${HEADER_PREFIX}${name}`, value]));

const metaOf = (headers: NodeJS.Dict<string | string[]>): DialMeta =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith(HEADER_PREFIX) && typeof value === 'string' ? [[name.slice(HEADER_PREFIX.length), value]] : [],
    ),
  );
