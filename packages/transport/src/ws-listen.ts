/** Accepts Links over WebSocket on an existing HTTP server. */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { LIMITS } from '@coord/protocol';
import { WebSocketServer } from 'ws';
import { remoteOf } from './address.js';
import { CHECK_BYTES } from './checked-message.js';
import type { Link } from './link.js';
import { refuseUpgrade, routeUpgrades } from './upgrade-router.js';
import { WsLink } from './ws-link.js';

export interface ListenOptions {
  /** Exact path of the URL, e.g. `/join`. */
  readonly path: string;
  /** Default: LIMITS.messageBytes. */
  readonly maxMessageBytes?: number;
  /** False: the request is answered with 401. */
  authorize?(request: IncomingMessage): boolean;
}

export interface LinkListener {
  /** Takes no more links and closes those that are open. The HTTP server stays. */
  close(): Promise<void>;
}

export function listenLinks(
  server: Server,
  options: ListenOptions,
  onLink: (link: Link, request: IncomingMessage) => void,
): LinkListener {
  const maxMessageBytes = options.maxMessageBytes ?? LIMITS.messageBytes;
  const acceptor = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: maxMessageBytes + CHECK_BYTES,
  });
  const open = new Set<Link>();
  const unroute = routeUpgrades(server, options.path, (request, socket, head) => {
    if (options.authorize && !options.authorize(request)) {
      refuseUpgrade(socket, 401, 'not authorized');
      return;
    }
    const connection = socket as Socket;
    connection.setKeepAlive(true);
    acceptor.handleUpgrade(request, socket, head, (accepted) => {
      const link = new WsLink(accepted, {
        remote: remoteOf(connection),
        maxMessageBytes,
        socket: () => connection,
      });
      open.add(link);
      void link.closed.then(() => open.delete(link));
      onLink(link, request);
    });
  });
  return {
    async close() {
      unroute();
      await Promise.all([...open].map((link) => link.close('the server is closing')));
    },
  };
}
