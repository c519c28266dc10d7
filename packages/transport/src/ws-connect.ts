/** Dials a Link over WebSocket. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { CoordError, isCoordError, LIMITS } from '@coord/protocol';
import { WebSocket } from 'ws';
import { CHECK_BYTES } from './checked-message.js';
import type { Link } from './link.js';
import { connectTls, isPlainAnswer } from './tls.js';
import { WsLink } from './ws-link.js';

export interface ConnectOptions {
  readonly timeoutMs: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: LIMITS.messageBytes. */
  readonly maxMessageBytes?: number;
  /** Gives up a connection attempt; an open link is not touched. */
  readonly signal?: AbortSignal;
  /** Fingerprint that the certificate behind a `wss:` address must have; without it, authorities must vouch for it. */
  readonly certificateSha256?: string | undefined;
}

/**
 * @throws CoordError UNREACHABLE (nobody there, refused, or too slow), CERTIFICATE_WRONG, LINK_CLOSED (given up through
 *   `signal`).
 */
export async function connectLink(url: string, options: ConnectOptions): Promise<Link> {
  if (options.signal?.aborted) throw givenUp(url, options.signal);
  const secure = /^wss:/i.test(url) ? await connectSecurely(url, options) : undefined;
  const socket = openSocket(url, options, secure);
  let connection: Socket | undefined;
  socket.once('upgrade', (response) => {
    connection = response.socket;
    connection.setKeepAlive(true);
  });
  const link = new WsLink(socket, {
    remote: url,
    maxMessageBytes: options.maxMessageBytes,
    socket: () => connection,
  });
  await opened(socket, url, options.signal);
  return link;
}

/** The right certificate is seen before anything is said. */
async function connectSecurely(url: string, options: ConnectOptions): Promise<TLSSocket> {
  const { hostname, port } = parse(url);
  const target = {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 443),
    certificateSha256: options.certificateSha256,
  };
  try {
    return await connectTls(target, options);
  } catch (cause) {
    if (options.signal?.aborted) throw givenUp(url, options.signal);
    if (isCoordError(cause)) throw cause;
    throw unreachable(url, cause as Error);
  }
}

/** @throws CoordError UNREACHABLE */
function parse(url: string): URL {
  if (URL.canParse(url)) return new URL(url);
  throw noAddress(url, undefined);
}

const noAddress = (url: string, cause: unknown): CoordError =>
  new CoordError('UNREACHABLE', `"${url}" is no WebSocket address`, {
    hint: 'Write it like ws://host:port/path.',
    facts: { url },
    cause,
  });

function openSocket(
  url: string,
  { timeoutMs, headers, maxMessageBytes }: ConnectOptions,
  secure: TLSSocket | undefined,
): WebSocket {
  try {
    return new WebSocket(url, {
      handshakeTimeout: timeoutMs,
      headers,
      maxPayload: (maxMessageBytes ?? LIMITS.messageBytes) + CHECK_BYTES,
      perMessageDeflate: false,
      createConnection: secure && (() => secure),
    });
  } catch (cause) {
    throw noAddress(url, cause);
  }
}

function opened(socket: WebSocket, url: string, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(givenUp(url, signal));
      socket.terminate();
    };
    signal?.addEventListener('abort', abort, { once: true });
    socket.once('close', () => signal?.removeEventListener('abort', abort));
    socket.once('open', () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    });
    socket.once('unexpected-response', (_request, response) => {
      reject(refused(url, response.statusCode ?? 0));
      socket.terminate();
    });
    socket.once('error', (cause) => reject(unreachable(url, cause)));
  });
}

function refused(url: string, status: number): CoordError {
  if (status === 429) return tooOften(url);
  const hint =
    status === 401 || status === 403
      ? 'The other end refused this connection; check the credentials.'
      : 'Something else than a coord process answers there; check host and port.';
  return new CoordError('UNREACHABLE', `${url} answered with HTTP status ${status} instead of a link`, {
    hint,
    facts: { url, status },
  });
}

const tooOften = (url: string): CoordError =>
  new CoordError(
    'COORDINATOR_BUSY',
    `${url} does not listen to this machine for a while: too many attempts without a right token came from it`,
    {
      hint: 'Check the token, and try again in a minute.',
      facts: { url },
    },
  );

function unreachable(url: string, cause: Error & { code?: string }): CoordError {
  // An AggregateError (several addresses tried) has an empty message of its own.
  const why = cause.message || cause.code || 'unknown reason';
  return new CoordError('UNREACHABLE', `cannot reach ${url}: ${why}`, {
    hint: hintFor(url, cause),
    facts: { url, cause: cause.code },
    cause,
  });
}

function hintFor(url: string, cause: Error & { code?: string }): string {
  if (isPlainAnswer(cause)) return 'Write ws:// instead of wss://, or start the coordinator with --tls.';
  const hint = 'Check that the other end runs, that the address is right, and that no firewall stands between.';
  const isCutOff = cause.code === 'ECONNRESET' && /^ws:/i.test(url);
  return isCutOff ? `${hint} If it was started with --tls, write wss:// and give the whole token.` : hint;
}

function givenUp(url: string, signal: AbortSignal | undefined): CoordError {
  return new CoordError('LINK_CLOSED', `connecting to ${url} was given up`, { facts: { url }, cause: signal?.reason });
}
