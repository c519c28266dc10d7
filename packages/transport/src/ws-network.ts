/** The peer network over WebSockets: every host listens, and its peers dial it. */
import { CoordError, LIMITS, type PeerEndpoint, type SocketEndpoint } from '@coord/protocol';
import { hostForUrl } from './address.js';
import { dialSegments } from './dial-segments.js';
import type { Link } from './link.js';
import { createPeerListener, type PeerListenerOptions } from './peer-listener.js';
import type { PeerNetwork } from './peer-network.js';
import { type ConnectOptions, connectLink } from './ws-connect.js';

/**
 * With `localSocket`, peers on the same machine link through a Unix-domain socket, unless the run is encrypted.
 *
 * @param advertise where peers are told to find this host, where that is not where it listens: behind a NAT, in a container.
 *   Then every peer finds it there, and there is no local socket.
 * @throws CoordError PORT_IN_USE; UNREACHABLE when the host is no address of this machine.
 */
export async function createWsNetwork(
  options: PeerListenerOptions,
  advertise?: { readonly host: string; readonly port?: number },
): Promise<PeerNetwork> {
  const listener = await createPeerListener({ ...options, localSocket: options.localSocket === true && !advertise });
  /** Who speaks TLS does not speak to peers without. @throws CoordError RING_BROKEN */
  const sameSafety = (peer: SocketEndpoint): SocketEndpoint => {
    if (!options.certificate || peer.certificateSha256 !== undefined) return peer;
    throw new CoordError('RING_BROKEN', `${peer.host}:${peer.port} has no certificate, and this run is encrypted`);
  };
  return {
    endpoint: { ...listener.endpoint, ...advertise },
    acceptSegments: (link) => listener.acceptSegments(link),
    dialSegments: async (peer, link) => dialSegments(sameSafety(socketOf(peer)), link),
    onLink(service, handler) {
      listener.onLink(pathOf(service), (link) => handler(link), { strangerBytes: 2 * LIMITS.handshakeBytes });
    },
    dialLink: async (peer, service, dial) => connectPeer(sameSafety(socketOf(peer)), service, dial),
    close: () => listener.close(),
  };
}

const pathOf = (service: string): string => `/${service}`;

function connectPeer(peer: SocketEndpoint, service: string, options: ConnectOptions): Promise<Link> {
  const { host, port, certificateSha256 } = peer;
  const scheme = certificateSha256 === undefined ? 'ws' : 'wss';
  return connectLink(`${scheme}://${hostForUrl(host)}:${port}${pathOf(service)}`, { ...options, certificateSha256 });
}

/** @throws CoordError UNREACHABLE for a peer of another transport. */
function socketOf(peer: PeerEndpoint): SocketEndpoint {
  if ('host' in peer) return peer;
  throw new CoordError('UNREACHABLE', `${peer.natsSubject} is reached over NATS, not by a socket`, {
    hint: 'All hosts of a run use one transport: give workers the address that `coord start` printed.',
  });
}
