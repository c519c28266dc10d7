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

export interface HandshakeOptions {
  readonly token: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

export interface Admission {
  readonly hello: Hello;
  /** The coordinator's own proof, for the welcome. */
  readonly proof: string;
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
  if (!isJoinProof(hello.proof, options.token, 'worker', context)) throw tokenWrong(hello, link.remote);
  return { hello, proof: joinProof(options.token, 'coordinator', context) };
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

function tokenWrong(hello: Hello, remote: string): CoordError {
  return new CoordError(
    'TOKEN_WRONG',
    `the worker ${hello.name} (${hello.hostName}, process ${hello.pid}) at ${remote} gave a wrong join token`,
    {
      facts: { worker: hello.name, hostName: hello.hostName, pid: hello.pid, remote },
      hint: 'Copy the whole `coord worker …` line that `coord start` printed; every new run makes a token of its own unless --token is given.',
    },
  );
}
