/**
 * TLS as coord speaks it: version 1.3, and a certificate that is known by its fingerprint before it is seen. Without a
 * fingerprint the certificate must be one that this machine's authorities vouch for.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import { isIP, type OnReadOpts } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { CoordError } from '@coord/protocol';
import { hostForUrl } from './address.js';

export interface Certificate {
  /** With the chain, where there is one. */
  readonly certPem: string;
  readonly keyPem: string;
  /** SHA-256 of the certificate in DER, base64url. */
  readonly sha256: string;
}

export const fingerprintOf = (certificate: X509Certificate): string =>
  createHash('sha256').update(certificate.raw).digest('base64url');

export const MIN_TLS_VERSION = 'TLSv1.3';

export interface TlsTarget {
  readonly host: string;
  readonly port: number;
  /** Fingerprint that the certificate must have. */
  readonly certificateSha256: string | undefined;
}

/** Begins to connect; nothing is to be written before `secured` has resolved. */
export function openTls({ host, port, certificateSha256 }: TlsTarget, onread?: OnReadOpts): TLSSocket {
  const options: ConnectionOptions & { onread?: OnReadOpts | undefined } = {
    host,
    port,
    // A name is for certificates that are vouched for; an address cannot be one (RFC 6066, section 3).
    servername: isIP(host) === 0 ? host : '',
    minVersion: MIN_TLS_VERSION,
    rejectUnauthorized: certificateSha256 === undefined,
    ALPNProtocols: ['http/1.1'],
    onread,
  };
  const socket = connect(options);
  socket.setNoDelay(true);
  socket.setKeepAlive(true);
  return socket;
}

/**
 * Resolves when the channel stands and its other end is the right one.
 *
 * @throws CoordError CERTIFICATE_WRONG, or what the socket failed with.
 */
export function secured(socket: TLSSocket, target: TlsTarget): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => reject(explained(target, error)));
    socket.once('close', () => reject(new Error('the connection was closed during the TLS handshake')));
    socket.once('secureConnect', () => {
      const wrong = mismatch(socket, target);
      if (wrong) socket.destroy();
      if (wrong) reject(wrong);
      else resolve();
    });
  });
}

export interface TlsConnectOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** @throws CoordError CERTIFICATE_WRONG, or what the socket failed with; also when it was given up or took too long. */
export async function connectTls(target: TlsTarget, { timeoutMs, signal }: TlsConnectOptions): Promise<TLSSocket> {
  const socket = openTls(target);
  const late = () => socket.destroy(new Error(`no TLS handshake within ${timeoutMs} ms`));
  const abort = () => socket.destroy();
  const timer = setTimeout(late, timeoutMs);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await secured(socket, target);
    return socket;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

function mismatch(socket: TLSSocket, target: TlsTarget): CoordError | undefined {
  const expected = target.certificateSha256;
  if (expected === undefined) return undefined;
  const shown = socket.getPeerX509Certificate();
  const found = shown && fingerprintOf(shown);
  if (found === expected) return undefined;
  const where = `${hostForUrl(target.host)}:${target.port}`;
  return new CoordError(
    'CERTIFICATE_WRONG',
    `${where} shows the certificate ${found ?? '(none)'}, but ${expected} was expected`,
    {
      hint: 'Either this is another coordinator (use the line that it printed), or somebody stands in between: do not send it anything.',
      facts: { remote: where, found, expected },
    },
  );
}

/** Codes of OpenSSL's verification; there is no common prefix. */
const isUnvouched = ({ code = '' }: NodeJS.ErrnoException): boolean =>
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|ERR_TLS_CERT_ALTNAME_INVALID)/.test(code);

/** The other end does not speak TLS: what it has said is no record of it. */
export const isPlainAnswer = ({ code }: NodeJS.ErrnoException): boolean =>
  code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG';

function explained(target: TlsTarget, error: NodeJS.ErrnoException): Error {
  if (isUnvouched(error)) return unvouched(target, error);
  if (!isPlainAnswer(error)) return error;
  // OpenSSL's own text is of records and addresses in memory.
  return Object.assign(new Error('what answers there is not encrypted', { cause: error }), { code: error.code });
}

function unvouched({ host, port }: TlsTarget, cause: NodeJS.ErrnoException): CoordError {
  const where = `${hostForUrl(host)}:${port}`;
  return new CoordError('CERTIFICATE_WRONG', `the certificate of ${where} cannot be trusted: ${cause.message}`, {
    hint: 'Use the whole token that `coord start` printed: it ends in the fingerprint of the certificate.',
    facts: { remote: where, reason: cause.code },
    cause,
  });
}
