/** The coordinator's one port: status for people and scripts, and the HTTP server that worker links grow out of. */
import type { AddressInfo } from 'node:net';
import { CoordError, type Endpoint, toErrorRecord } from '@coord/protocol';
import { type Certificate, createGuardedServer } from '@coord/transport';
import fastify, { type FastifyInstance } from 'fastify';
import { type AccessOptions, type AccessRule, access } from './access/http-access.js';
import { addTokenRoutes, type TokenActions } from './access/token-routes.js';
import type { ClusterStatus } from './status.js';

export interface HttpOptions extends AccessOptions {
  /** The port speaks TLS. */
  readonly certificate?: Certificate | undefined;
  readonly tokenActions: TokenActions;
  status(): ClusterStatus;
  /** Asks a worker to leave. @returns its label; undefined when there is no such worker. @throws CoordError USAGE */
  drain(worker: string): string | undefined;
}

const TO_SEE: AccessRule = { roles: ['worker', 'observer', 'operator'], openToLoopback: true };
const TO_COMMAND: AccessRule = { roles: ['operator'], openToLoopback: true, refusesPages: true };

export function createHttpServer(options: HttpOptions): FastifyInstance {
  const { certificate, status, drain } = options;
  const app = fastify({
    logger: false,
    bodyLimit: 1024,
    forceCloseConnections: true,
    serverFactory: (handler) => createGuardedServer(handler, certificate),
  });
  // The time is for `coord doctor`, which tells how far two clocks are apart; nothing else compares clocks.
  app.get('/healthz', async () => ({ ok: true, timeMs: Date.now() }));
  app.get('/status', { onRequest: access(TO_SEE, options) }, async () => status());
  const toDrain = { onRequest: access(TO_COMMAND, options) };
  app.post<{ Params: { worker: string } }>('/drain/:worker', toDrain, async (request, reply) => {
    const { worker } = request.params;
    try {
      const label = drain(worker);
      return label === undefined ? reply.code(404).send(noSuchWorker(worker)) : { draining: label };
    } catch (error) {
      const { code, message, hint } = toErrorRecord(error);
      return reply.code(409).send({ code, message, hint });
    }
  });
  addTokenRoutes(app, options, options.tokenActions);
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
