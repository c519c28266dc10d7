/**
 * Proofs: what a side says to show that it knows a secret without sending it. Every proof names its prover's role and covers
 * both sides' nonces, so a recording proves nothing later and neither side's proof can be echoed as the other's.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export type Prover = 'worker' | 'coordinator';

export const createNonce = (): string => randomBytes(24).toString('base64url');
export const createToken = (): string => randomBytes(24).toString('base64url');

/** HMAC-SHA256 (RFC 2104) over the parts, in order; JSON keeps their borders apart. */
export function keyedProof(key: string, parts: readonly (string | number)[]): string {
  return createHmac('sha256', key).update(JSON.stringify(parts)).digest('base64url');
}

/** Takes the same time wherever the first difference is. */
export function isKeyedProof(proof: string, key: string, parts: readonly (string | number)[]): boolean {
  const expected = Buffer.from(keyedProof(key, parts));
  const given = Buffer.from(proof);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

export interface Nonces {
  readonly serverNonce: string;
  readonly clientNonce: string;
}

/** What both sides of a join know: their nonces, and which encrypted channel they speak through. */
export interface JoinContext extends Nonces {
  /** The link's `channelBinding`; none on a plain link. With TLS, whoever stands between the two has another one on either side. */
  readonly channelBinding?: string;
}

const joinParts = (prover: Prover, { serverNonce, clientNonce, channelBinding = '' }: JoinContext) => [
  'coord join',
  prover,
  serverNonce,
  clientNonce,
  channelBinding,
];

export const joinProof = (token: string, prover: Prover, context: JoinContext): string =>
  keyedProof(token, joinParts(prover, context));

export const isJoinProof = (proof: string, token: string, prover: Prover, context: JoinContext): boolean =>
  isKeyedProof(proof, token, joinParts(prover, context));
