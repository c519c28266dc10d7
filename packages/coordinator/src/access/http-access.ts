/** Who may ask what over HTTP. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import { parseToken } from '@coord/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isLoopback } from '../addresses.js';
import type { FailedAttempts } from './failed-attempts.js';
import type { TokenBook } from './token-book.js';
import type { TokenRole } from './token-record.js';

export interface AccessRule {
  readonly roles: readonly TokenRole[];
  /** This machine needs no token. */
  readonly openToLoopback: boolean;
  /** What is said is secret: over the network it goes through TLS or not at all. */
  readonly isSecret?: boolean;
  /** A web page that somebody on this machine looks at must not be able to ask this. */
  readonly refusesPages?: boolean;
}

export interface AccessOptions {
  readonly tokens: TokenBook;
  readonly failures: FailedAttempts;
}

/** A hook that answers whoever may not ask; it runs before a body is read. */
export function access(rule: AccessRule, { tokens, failures }: AccessOptions) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const blockedMs = failures.blockedMs(request.ip);
    if (blockedMs > 0)
      return reply
        .code(429)
        .header('retry-after', Math.ceil(blockedMs / 1000))
        .send(tooMany(blockedMs));
    const isLocal = isLoopback(request.socket.remoteAddress);
    if (rule.refusesPages && request.headers.origin !== undefined) return refuse(reply);
    if (rule.isSecret && !isLocal && !(request.socket instanceof TLSSocket)) return reply.code(403).send(NEEDS_TLS);
    if (rule.openToLoopback && isLocal) return undefined;
    const given = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const token = given === undefined ? undefined : tokens.match((secret) => isSame(secret, parseToken(given).secret));
    if (token && tokens.state(token) === 'valid' && rule.roles.includes(token.role)) return undefined;
    if (given !== undefined && !token) failures.note(request.ip);
    return refuse(reply);
  };
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const isSame = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));

const refuse = (reply: FastifyReply) => reply.code(401).header('www-authenticate', 'Bearer').send(UNAUTHORIZED);

const UNAUTHORIZED = {
  code: 'TOKEN_WRONG',
  message: 'this needs `Authorization: Bearer <token>`, with a valid token whose role allows it',
};

const NEEDS_TLS = {
  code: 'TOKEN_WRONG',
  message: 'secrets are not sent through a network in the clear',
  hint: 'Ask on the machine of the coordinator, or start it with --tls.',
};

const tooMany = (blockedMs: number) => ({
  code: 'COORDINATOR_BUSY',
  message: `too many attempts without a right token came from your address; ask again in ${Math.ceil(blockedMs / 1000)} s`,
});
