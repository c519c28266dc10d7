/** The HTTP server behind every port: small limits for whoever has proved nothing yet, and TLS where there is a certificate. */
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { ConnectionGate } from './connection-gate.js';
import { type Certificate, MIN_TLS_VERSION } from './tls.js';

/** For requests that are made by our own programs, browsers and scrapers; cookies and such are not spoken here. */
const LIMITS_OF_HTTP = {
  maxHeaderSize: 4 * 1024,
  /** Time for the head of a request. */
  headersTimeout: 10_000,
  /** Time for a whole request. */
  requestTimeout: 20_000,
  /** How often those two are looked at. */
  connectionsCheckingInterval: 2000,
} as const;

const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;

/** A machine with 64 workers may start them all at once. */
const STRANGERS = { perAddress: 128, total: 512 } as const;

export function createGuardedServer(onRequest: RequestListener, certificate?: Certificate): Server {
  const server = certificate ? createTls(onRequest, certificate) : createHttpServer(LIMITS_OF_HTTP, onRequest);
  new ConnectionGate(server, STRANGERS);
  return server;
}

function createTls(onRequest: RequestListener, { certPem: cert, keyPem: key }: Certificate): Server {
  const tls = { cert, key, minVersion: MIN_TLS_VERSION, handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS } as const;
  const server = createHttpsServer({ ...LIMITS_OF_HTTP, ...tls, ALPNProtocols: ['http/1.1'] }, onRequest);
  // Whoever fails the handshake is gone; nobody here has to hear of it.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}
