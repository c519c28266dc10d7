/** The coordinator's one port: status for people and scripts, and the HTTP server that worker links grow out of. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { CoordError, type Endpoint, toErrorRecord } from '@coord/protocol';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { isLoopback } from './addresses.js';
import type { ClusterStatus } from './status.js';

export interface HttpOptions {
  readonly token: string;
  status(): ClusterStatus;
  /** Asks a worker to leave. @returns its label; undefined when there is no such worker. @throws CoordError USAGE */
  drain(worker: string): string | undefined;
}

export function createHttpServer({ token, status, drain }: HttpOptions): FastifyInstance {
  const app = fastify({ logger: false, bodyLimit: 1024, forceCloseConnections: true });
  // The time is for `coord doctor`, which tells how far two clocks are apart; nothing else compares clocks.
  app.get('/healthz', async () => ({ ok: true, timeMs: Date.now() }));
  app.get('/status', async (request, reply) => {
    if (isAllowed(request, token)) return status();
    return reply.code(401).header('www-authenticate', 'Bearer').send(UNAUTHORIZED);
  });
  app.post<{ Params: { worker: string } }>('/drain/:worker', async (request, reply) => {
    // A web page that somebody on this machine looks at must not be able to send workers away.
    const isForeign = request.headers.origin !== undefined;
    if (isForeign || !isAllowed(request, token)) {
      return reply.code(401).header('www-authenticate', 'Bearer').send(UNAUTHORIZED);
    }
    const { worker } = request.params;
    try {
      const label = drain(worker);
      return label === undefined ? reply.code(404).send(noSuchWorker(worker)) : { draining: label };
    } catch (error) {
      const { code, message, hint } = toErrorRecord(error);
      return reply.code(409).send({ code, message, hint });
    }
  });
  return app;
}

const noSuchWorker = (worker: string) => ({
  code: 'USAGE',
  message: `there is no worker "${worker}", or several have this name`,
  hint: '`coord status` lists the workers; ids (w1, w2 …) are never shared.',
});

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
  message: 'this is for this machine, or for whoever sends `Authorization: Bearer <join token>`',
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
