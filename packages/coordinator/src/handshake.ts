/**
 * The coordinator's side of joining: challenge → hello → welcome | refused. Until a worker has proved that it knows the
 * token, nothing longer than LIMITS.handshakeBytes is looked at and nothing is told but the nonce.
 */
import {
  type Clock,
  CoordError,
  type CoordinatorMessage,
  createNonce,
  decodeMessage,
  encodeMessage,
  type Hello,
  helloSchema,
  isJoinProof,
  joinProof,
  LIMITS,
  PROTOCOL_VERSION,
  toErrorRecord,
} from '@coord/protocol';
import type { Link } from '@coord/transport';
import { z } from 'zod';
import type { TokenBook } from './access/token-book.js';
import { labelOf, type TokenRecord, type TokenState } from './access/token-record.js';

export interface HandshakeOptions {
  readonly tokens: TokenBook;
  readonly runId: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

export interface Admission {
  readonly hello: Hello;
  /** The coordinator's own proof, for the welcome. */
  readonly proof: string;
  /** Which token it knows. */
  readonly tokenId: string;
}

/** A hello of any version: another version's may say other things, and must still be told why it is refused. */
const anyHelloSchema = z.object({ type: z.literal('hello'), protocolVersion: z.number().int() });

/**
 * @throws CoordError TOKEN_WRONG, PROTOCOL_VERSION (the worker has been told), LINK_TIMEOUT, LINK_CLOSED, FRAME_TOO_LARGE,
 *   FRAME_INVALID, MESSAGE_INVALID, MESSAGE_UNEXPECTED.
 */
export async function challengeWorker(link: Link, options: HandshakeOptions): Promise<Admission> {
  const serverNonce = createNonce();
  await send(link, { type: 'challenge', protocolVersion: PROTOCOL_VERSION, serverNonce });
  const frame = await receiveWithin(link, options);
  const hello = readHello(frame, link.remote);
  const context = { serverNonce, clientNonce: hello.clientNonce, channelBinding: link.channelBinding };
  const token = options.tokens.match((secret) => isJoinProof(hello.proof, secret, 'worker', context));
  if (!token) throw tokenWrong(hello, link.remote);
  requireUse(token, options.tokens.state(token), hello, link.remote);
  requireSelf(hello, options, link.remote);
  return { hello, proof: joinProof(token.secret, 'coordinator', context), tokenId: token.id };
}

/** Tells the worker why it cannot join. A link that is gone needs no explanation. */
export async function refuse(link: Link, error: unknown): Promise<void> {
  const { code, message, hint } = toErrorRecord(error);
  await send(link, { type: 'refused', code, message: message.slice(0, LIMITS.textLength), hint }).catch(() => {});
  await link.close(`refused: ${code}`);
}

const send = (link: Link, message: CoordinatorMessage): Promise<void> => link.send(encodeMessage(message));

function readHello(frame: Uint8Array, from: string): Hello {
  const options = { from, limitBytes: LIMITS.handshakeBytes };
  const { protocolVersion } = decodeMessage(anyHelloSchema, frame, options);
  if (protocolVersion !== PROTOCOL_VERSION) throw versionWrong(protocolVersion, from);
  return decodeMessage(helloSchema, frame, options);
}

function receiveWithin(link: Link, { clock, timeoutMs }: HandshakeOptions): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(timeoutMs, () => {
      reject(
        new CoordError('LINK_TIMEOUT', `${link.remote} connected but said no hello within ${timeoutMs} ms`, {
          facts: { remote: link.remote, timeoutMs },
        }),
      );
    });
    link.receive().then(resolve, reject).finally(cancel);
  });
}

function versionWrong(theirs: number, from: string): CoordError {
  const older = theirs < PROTOCOL_VERSION ? 'the worker' : 'the coordinator';
  return new CoordError(
    'PROTOCOL_VERSION',
    `the worker at ${from} speaks protocol version ${theirs}, this coordinator version ${PROTOCOL_VERSION}`,
    {
      facts: { remote: from, workerVersion: theirs, coordinatorVersion: PROTOCOL_VERSION },
      hint: `Install the same version of coord on both machines; ${older} is the older one.`,
    },
  );
}

/** Nobody comes back as another worker. @throws CoordError JOIN_REFUSED */
function requireSelf({ name, returns }: Hello, { tokens, runId }: HandshakeOptions, remote: string): void {
  if (returns?.runId !== runId || (returns.key !== undefined && tokens.isReturnKey(returns.key, returns.workerId)))
    return;
  const { workerId } = returns;
  throw new CoordError('JOIN_REFUSED', `${name} at ${remote} does not prove that it was ${workerId} before`, {
    facts: { worker: name, remote, workerId },
    hint: 'Start the worker again: it joins as a new one.',
  });
}

/** Who knows a token may also know what has become of it. @throws CoordError TOKEN_WRONG */
function requireUse(token: TokenRecord, state: TokenState, { name }: Hello, remote: string): void {
  const { role, expiresAt, revokedAt } = token;
  const isForJoining = role === 'worker';
  if (isForJoining && state === 'valid') return;
  const why = isForJoining
    ? `was ${state === 'revoked' ? `revoked at ${revokedAt}` : `valid until ${expiresAt}`}`
    : `is for an ${role}, who does not join`;
  throw new CoordError('TOKEN_WRONG', `the token ${labelOf(token)} of the worker ${name} at ${remote} ${why}`, {
    facts: { worker: name, remote, tokenId: token.id },
    hint: 'Ask whoever runs the coordinator for a new one: `coord token create RUN`.',
  });
}

function tokenWrong(hello: Hello, remote: string): CoordError {
  return new CoordError(
    'TOKEN_WRONG',
    `the worker ${hello.name} (${hello.hostName}, process ${hello.pid}) at ${remote} gave a wrong join token`,
    {
      facts: { worker: hello.name, hostName: hello.hostName, pid: hello.pid, remote },
      hint: 'Copy the whole `coord worker …` line that `coord start` printed; every new run makes a token of its own unless --token is given, and tokens can be revoked.',
    },
  );
}
