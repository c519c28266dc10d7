/**
 * Join handshake: mutual challenge and response over the join token. Each side proves that it knows the token without
 * sending it, over both nonces, so an old recording proves nothing.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export type Prover = 'worker' | 'coordinator';

export const createNonce = (): string => randomBytes(24).toString('base64url');
export const createToken = (): string => randomBytes(24).toString('base64url');

export interface Nonces {
  readonly serverNonce: string;
  readonly clientNonce: string;
}

export function joinProof(token: string, prover: Prover, nonces: Nonces): string {
  const text = `coord join\n${prover}\n${nonces.serverNonce}\n${nonces.clientNonce}`;
  return createHmac('sha256', token).update(text).digest('base64url');
}

export function isJoinProof(proof: string, token: string, prover: Prover, nonces: Nonces): boolean {
  const expected = Buffer.from(joinProof(token, prover, nonces));
  const given = Buffer.from(proof);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
