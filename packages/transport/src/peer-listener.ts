/** Peer listener: the one server of a host, for segment links of the ring and message links by path. */
import { once } from 'node:events';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CoordError, type Endpoint, type SocketEndpoint } from '@coord/protocol';
import { admitSocket } from './connection-gate.js';
import { createGuardedServer } from './guarded-server.js';
import type { Link } from './link.js';
import { listenLocally } from './local-socket.js';
import { SegmentAcceptor } from './segment-acceptor.js';
import type { SegmentLinkOptions, SegmentSender } from './segment-link.js';
import type { Certificate } from './tls.js';
import { routeUpgrades } from './upgrade-router.js';
import { SEGMENT_PATH } from './ws-handshake.js';
import { type LinkListener, type ListenOptions, listenLinks } from './ws-listen.js';

export interface PeerListenerOptions {
  readonly host: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** How long a dial is kept that nobody waits for yet. Default 30 s. */
  readonly holdMs?: number;
  /** Peers speak to this host through TLS. */
  readonly certificate?: Certificate | undefined;
  /** Also take segment links through a Unix-domain socket, where there can be one. Not with a certificate. Default false. */
  readonly localSocket?: boolean | undefined;
}

export interface PeerListener {
  readonly endpoint: SocketEndpoint;
  /**
   * Waits for the rank that must dial; resolves with the sending end. The dial may have come before.
   *
   * @throws CoordError LINK_TIMEOUT, LINK_CLOSED (the listener closed), or the signal's reason.
   */
  acceptSegments(options: SegmentLinkOptions): Promise<SegmentSender>;
  /** Accepts message links at `path`, which must not be `/ring`. */
  onLink(
    path: string,
    handler: (link: Link, request: IncomingMessage) => void,
    options?: Omit<ListenOptions, 'path'>,
  ): LinkListener;
  /** Closes the server and every link that it accepted. */
  close(): Promise<void>;
}

const HOLD_MS = 30_000;

/** @throws CoordError PORT_IN_USE; UNREACHABLE when the host is no address of this machine. */
export async function createPeerListener(options: PeerListenerOptions): Promise<PeerListener> {
  const { certificate } = options;
  const server = createGuardedServer(linksOnly, certificate);
  const place = await listen(server, options);
  const localServer = createGuardedServer(linksOnly);
  const local = options.localSocket && !certificate ? await listenLocally(localServer) : undefined;
  const endpoint = { ...place, certificateSha256: certificate?.sha256, localSocket: local?.localSocket };
  const acceptor = new SegmentAcceptor(options.holdMs ?? HOLD_MS, (socket) => {
    for (const one of [server, localServer]) admitSocket(one, socket);
  });
  for (const one of [server, localServer]) {
    routeUpgrades(one, SEGMENT_PATH, (request, socket, head) => acceptor.handleUpgrade(request, socket, head));
  }
  const owners: LinkListener[] = [];
  return {
    endpoint,
    acceptSegments: (accept) => acceptor.accept(accept),
    onLink(path, handler, linkOptions) {
      const owner = listenLinks(server, { ...linkOptions, path }, handler);
      owners.push(owner);
      return owner;
    },
    async close() {
      const stopped = new Promise((resolve) => server.close(resolve));
      acceptor.close();
      await Promise.all(owners.map((owner) => owner.close()));
      for (const one of [server, localServer]) one.closeAllConnections();
      await Promise.all([stopped, local?.close()]);
    },
  };
}

const linksOnly: RequestListener = (_request, response) => {
  response.writeHead(404, { 'content-type': 'text/plain' }).end('links only\n');
};

async function listen(server: Server, { host, port = 0 }: PeerListenerOptions): Promise<Endpoint> {
  server.listen({ host, port });
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw listenError(host, port, cause);
  }
  return { host, port: (server.address() as AddressInfo).port };
}

function listenError(host: string, port: number, cause: unknown): CoordError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const facts = { host, port };
  if (code === 'EADDRINUSE') {
    return new CoordError('PORT_IN_USE', `port ${port} on ${host} is in use`, {
      hint: 'Choose another port, or 0 for any free one.',
      facts,
      cause,
    });
  }
  return new CoordError('UNREACHABLE', `cannot listen on ${host}:${port}: ${message}`, {
    hint: 'Listen on an address of this machine, or on 0.0.0.0 for all of them.',
    facts,
    cause,
  });
}
