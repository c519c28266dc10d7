/**
 * Opening handshake of a segment link: a WebSocket upgrade (RFC 6455, section 4) in which both ends prove that they know
 * the key of their link.
 *
 * The dialer's proof covers (generation, rank, purpose, nonce, channel), where the nonce is the request's Sec-WebSocket-Key; the
 * listener's proof covers the same, under another label, so neither can be echoed as the other. A listener takes each nonce
 * once, and each (generation, rank, purpose) only when it waits for it, so a recorded request proves nothing later.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isKeyedProof, keyedProof } from '@coord/protocol';

export const SEGMENT_PATH = '/ring';
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const PROOF_HEADER = 'x-coord-proof';

/** Who a segment link is for. */
export interface DialIdentity {
  readonly generation: number;
  readonly rank: number;
  readonly purpose: string;
  readonly nonce: string;
  /** Of the connection below; see `Link`. */
  readonly channelBinding: string;
}

export interface DialRequest extends Omit<DialIdentity, 'channelBinding'> {
  readonly proof: string;
}

export const createDialNonce = (): string => randomBytes(16).toString('base64');

type ProofLabel = 'dial' | 'accept';

const partsOf = (label: ProofLabel, { generation, rank, purpose, nonce, channelBinding }: DialIdentity) => [
  'coord ring',
  label,
  generation,
  rank,
  purpose,
  nonce,
  channelBinding,
];

export const linkProof = (label: ProofLabel, key: string, identity: DialIdentity): string =>
  keyedProof(key, partsOf(label, identity));

export const isLinkProof = (proof: string, label: ProofLabel, key: string, identity: DialIdentity): boolean =>
  isKeyedProof(proof, key, partsOf(label, identity));

export function writeDialRequest(host: string, key: string, identity: DialIdentity): string {
  const { generation, rank, purpose, nonce } = identity;
  return [
    `GET ${SEGMENT_PATH}?generation=${generation}&rank=${rank}&purpose=${purpose} HTTP/1.1`,
    `Host: ${host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${nonce}`,
    `${PROOF_HEADER}: ${linkProof('dial', key, identity)}`,
    '\r\n',
  ].join('\r\n');
}

/** @returns undefined when the request is no well-formed dial of a segment link. */
export function parseDialRequest(request: IncomingMessage): DialRequest | undefined {
  const { headers, method } = request;
  const query = new URLSearchParams((request.url ?? '').split('?', 2)[1]);
  const [generation, rank] = [numberIn(query.get('generation')), numberIn(query.get('rank'))];
  const purpose = query.get('purpose') ?? '';
  const nonce = headers['sec-websocket-key'] ?? '';
  const proof = headers[PROOF_HEADER];
  const wellFormed =
    method === 'GET' &&
    headers.upgrade?.toLowerCase() === 'websocket' &&
    headers['sec-websocket-version'] === '13' &&
    /^[+/0-9A-Za-z]{22}==$/.test(nonce) &&
    /^[a-z0-9-]{1,32}$/.test(purpose) &&
    [generation, rank].every(Number.isSafeInteger) &&
    typeof proof === 'string';
  return wellFormed ? { generation, rank, purpose, nonce, proof } : undefined;
}

/** One way to write each number, as `writeDialRequest` does; NaN for all others. */
const numberIn = (text: string | null): number => (/^(0|[1-9]\d{0,15})$/.test(text ?? '') ? Number(text) : Number.NaN);

export function writeAcceptResponse(key: string, identity: DialIdentity): string {
  return [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptValue(identity.nonce)}`,
    `${PROOF_HEADER}: ${linkProof('accept', key, identity)}`,
    '\r\n',
  ].join('\r\n');
}

const acceptValue = (nonce: string): string =>
  createHash('sha1')
    .update(nonce + ACCEPT_GUID)
    .digest('base64');

export interface AcceptResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
}

/** Parses the head of an HTTP response (without the empty line). */
export function parseAcceptResponse(head: string): AcceptResponse {
  const [statusLine, ...lines] = head.split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/.exec(statusLine)?.[1] ?? 0);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status, headers };
}

/** What is wrong with a listener's answer; undefined when it is a listener that knows the key. */
export function faultOfAccept(response: AcceptResponse, key: string, identity: DialIdentity): string | undefined {
  const { status, headers } = response;
  if (status !== 101) return `it answered with HTTP status ${status}`;
  if (headers.get('upgrade')?.toLowerCase() !== 'websocket') return 'its answer is no WebSocket upgrade';
  if (headers.get('sec-websocket-accept') !== acceptValue(identity.nonce))
    return 'its answer belongs to another request';
  if (headers.has('sec-websocket-extensions')) return 'it chose an extension that was not offered';
  const proof = headers.get(PROOF_HEADER) ?? '';
  return isLinkProof(proof, 'accept', key, identity) ? undefined : 'it does not know the key of this view';
}
