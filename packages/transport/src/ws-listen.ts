/** Accepts Links over WebSocket on an existing HTTP server. */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { LIMITS } from '@coord/protocol';
import { WebSocketServer } from 'ws';
import { remoteOf } from './address.js';
import { CHECK_BYTES } from './checked-message.js';
import { admitSocket } from './connection-gate.js';
import type { Link } from './link.js';
import { limitStranger } from './stranger-limit.js';
import { refuseUpgrade, routeUpgrades } from './upgrade-router.js';
import { WsLink } from './ws-link.js';

export interface ListenOptions {
  /** Exact path of the URL, e.g. `/join`. */
  readonly path: string;
  /** Default: LIMITS.messageBytes. */
  readonly maxMessageBytes?: number;
  /** Bytes that are read of a link whose owner has not been admitted; no limit of its own where it is left out. */
  readonly strangerBytes?: number;
  /** Answers a request with an HTTP error instead of a link; undefined lets it in. */
  refuse?(request: IncomingMessage): Refusal | undefined;
}

export interface Refusal {
  readonly status: number;
  readonly reason: string;
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
    const refusal = options.refuse?.(request);
    if (refusal) {
      refuseUpgrade(socket, refusal.status, refusal.reason);
      return;
    }
    const connection = socket as Socket;
    connection.setKeepAlive(true);
    acceptor.handleUpgrade(request, socket, head, (accepted) => {
      const liftLimit = limitStranger(connection, options.strangerBytes);
      const link = new WsLink(accepted, {
        remote: remoteOf(connection),
        maxMessageBytes,
        socket: () => connection,
        admit() {
          liftLimit();
          admitSocket(server, connection);
        },
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
