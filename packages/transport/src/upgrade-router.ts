/**
 * Upgrade router: several owners share one HTTP server, each with its own WebSocket paths. A path that nobody owns is
 * answered with 404, unless the server has 'upgrade' listeners of other makers, who then answer for their own.
 */
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

const routers = new WeakMap<Server, Map<string, UpgradeHandler>>();

/** @returns a function that gives the path back. */
export function routeUpgrades(server: Server, path: string, handler: UpgradeHandler): () => void {
  const routes = routers.get(server) ?? installRouter(server);
  if (routes.has(path)) throw new RangeError(`the WebSocket path ${path} is already taken on this server`);
  routes.set(path, handler);
  return () => {
    if (routes.get(path) === handler) routes.delete(path);
  };
}

function installRouter(server: Server): Map<string, UpgradeHandler> {
  const routes = new Map<string, UpgradeHandler>();
  routers.set(server, routes);
  server.on('upgrade', (request, socket, head) => {
    const handler = routes.get(pathOf(request));
    if (handler) handler(request, socket, head);
    else if (server.listenerCount('upgrade') === 1) refuseUpgrade(socket, 404, 'nothing is served at this path');
  });
  return routes;
}

const pathOf = (request: IncomingMessage): string => (request.url ?? '/').split('?', 1)[0];

/** Answers an upgrade request with an HTTP error and ends the connection. */
export function refuseUpgrade(socket: Duplex, status: number, reason: string): void {
  const body = `${reason}\n`;
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  // Whatever the peer says now is not read; the socket goes once the answer is written.
  socket.once('finish', () => socket.destroy());
}
