/** The coordinator's one port: status for people and scripts, and the HTTP server that worker links grow out of. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { CoordError, type Endpoint } from '@coord/protocol';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { isLoopback } from './addresses.js';
import type { ClusterStatus } from './status.js';

export interface HttpOptions {
  readonly token: string;
  status(): ClusterStatus;
}

export function createHttpServer({ token, status }: HttpOptions): FastifyInstance {
  const app = fastify({ logger: false, bodyLimit: 1024, forceCloseConnections: true });
  // The time is for `coord doctor`, which tells how far two clocks are apart; nothing else compares clocks.
  app.get('/healthz', async () => ({ ok: true, timeMs: Date.now() }));
  app.get('/status', async (request, reply) => {
    if (isAllowed(request, token)) return status();
    return reply.code(401).header('www-authenticate', 'Bearer').send(UNAUTHORIZED);
  });
  return app;
}

/**
 * @returns where it really listens.
 * @throws CoordError PORT_IN_USE, UNREACHABLE when this machine has no such address.
 */
export async function listen(app: FastifyInstance, wanted: { host: string; port: number }): Promise<Endpoint> {
  await app.listen(wanted).catch((cause: NodeJS.ErrnoException) => {
    throw listenError(wanted, cause);
  });
  return { host: wanted.host, port: (app.server.address() as AddressInfo).port };
}

const UNAUTHORIZED = {
  code: 'TOKEN_WRONG',
  message: 'the status is for this machine, or for whoever sends `Authorization: Bearer <join token>`',
};

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

function isAllowed(request: FastifyRequest, token: string): boolean {
  if (isLoopback(request.socket.remoteAddress)) return true;
  const given = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
}

function listenError({ host, port }: { host: string; port: number }, cause: NodeJS.ErrnoException): unknown {
  const facts = { host, port, reason: cause.code };
  if (cause.code === 'EADDRINUSE') {
    return new CoordError('PORT_IN_USE', `port ${port} on ${host} is taken by another program`, {
      cause,
      facts,
      hint: `Choose another port with --listen ${host}:${port < 65535 ? port + 1 : 0}, or any free one with --listen ${host}:0.`,
    });
  }
  if (cause.code === 'EADDRNOTAVAIL' || cause.code === 'ENOTFOUND' || cause.code === 'EACCES') {
    return new CoordError('UNREACHABLE', `cannot listen on ${host}:${port}: ${cause.message}`, {
      cause,
      facts,
      hint: 'Use an address of this machine, 127.0.0.1 for local workers only, or 0.0.0.0 for all its networks.',
    });
  }
  return cause;
}
