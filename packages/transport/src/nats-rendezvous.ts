/**
 * Rendezvous over NATS: the dialer listens first, then asks at the listener's subject; the listener listens before it
 * answers. So neither misses the other's first message. Whoever both are, they prove over the link.
 */
import { randomUUID } from 'node:crypto';
import { CoordError, isCoordError, LIMITS } from '@coord/protocol';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import type { Link } from './link.js';
import { isNoResponders } from './nats-errors.js';
import { NatsLink } from './nats-link.js';
import type { LinkListener } from './ws-listen.js';

export interface NatsListenOptions {
  /** Subject that dialers ask at; the links live below it. */
  readonly subject: string;
  readonly maxMessageBytes?: number;
  readonly keepAliveMs?: number;
  /** Bytes that are read of a link whose owner has not been admitted; no limit of its own where it is left out. */
  readonly strangerBytes?: number;
  /** True: nobody is taken for now. */
  isBusy?(): boolean;
}

export interface NatsConnectOptions {
  readonly subject: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly maxMessageBytes?: number;
  readonly keepAliveMs?: number;
}

const [ACCEPTED, REFUSED, BUSY] = ['accepted', 'refused', 'busy'];

const dialSchema = z.object({ id: z.uuid() });
/** A dial is shorter than this. */
const MAX_DIAL_BYTES = 256;

const upSubject = (subject: string, id: string): string => `${subject}.${id}.up`;
const downSubject = (subject: string, id: string): string => `${subject}.${id}.down`;

export function listenNatsLinks(
  connection: NatsConnection,
  options: NatsListenOptions,
  onLink: (link: Link) => void,
): LinkListener {
  const open = new Set<Link>();
  const { subject, keepAliveMs, strangerBytes, maxMessageBytes = LIMITS.messageBytes } = options;
  const accept = async (message: Msg): Promise<void> => {
    const id = parseDial(message.data);
    if (id === undefined || options.isBusy?.()) {
      message.respond(id === undefined ? REFUSED : BUSY);
      return;
    }
    const [receiveSubject, sendSubject] = [upSubject(subject, id), downSubject(subject, id)];
    // For people: the beginning of an id tells links apart.
    const ends = { remote: `nats:${subject}.${id.slice(0, 8)}`, receiveSubject, sendSubject };
    const link = new NatsLink({ connection, ...ends, maxMessageBytes, strangerBytes, keepAliveMs });
    open.add(link);
    void link.closed.then(() => open.delete(link));
    await link.ready();
    message.respond(ACCEPTED);
    onLink(link);
  };
  const subscription = connection.subscribe(subject, {
    callback: (error, message) => {
      // A connection that is lost meanwhile has told the link.
      if (!error) accept(message).catch(() => {});
    },
  });
  return {
    async close() {
      subscription.unsubscribe();
      await Promise.all([...open].map((link) => link.close('the server is closing')));
    },
  };
}

/** @throws CoordError UNREACHABLE with a hint, COORDINATOR_BUSY, LINK_CLOSED (given up, with the signal's reason as cause). */
export async function connectNatsLink(connection: NatsConnection, options: NatsConnectOptions): Promise<Link> {
  const { subject, timeoutMs, signal, keepAliveMs, maxMessageBytes = LIMITS.messageBytes } = options;
  if (signal?.aborted) throw givenUp(subject, signal);
  const id = randomUUID();
  const [receiveSubject, sendSubject] = [downSubject(subject, id), upSubject(subject, id)];
  const remote = `nats:${subject}`;
  const link = new NatsLink({ connection, remote, receiveSubject, sendSubject, maxMessageBytes, keepAliveMs });
  const ask = async () => {
    await link.ready();
    signal?.throwIfAborted();
    const answer = await connection.request(subject, JSON.stringify({ id }), { timeout: timeoutMs });
    requireAccepted(answer.string(), subject);
  };
  try {
    await unlessAborted(ask(), signal, () => givenUp(subject, signal));
    return link;
  } catch (cause) {
    // The other end, if it has taken the link meanwhile, hears of it.
    await link.close('the dial failed');
    throw isCoordError(cause) ? cause : unreachable(subject, cause);
  }
}

/** Settles as `work` does, or rejects when the signal aborts before. */
function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined, why: () => CoordError): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(why());
    signal?.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal?.removeEventListener('abort', abort));
  });
}

const givenUp = (subject: string, signal: AbortSignal | undefined): CoordError =>
  new CoordError('LINK_CLOSED', `connecting to ${subject} over NATS was given up`, {
    facts: { subject },
    cause: signal?.reason,
  });

/** @returns the id of the link that is asked for; undefined where this is no dial. */
export function parseDial(data: Uint8Array): string | undefined {
  if (data.byteLength > MAX_DIAL_BYTES) return undefined;
  try {
    return dialSchema.parse(JSON.parse(Buffer.from(data).toString())).id;
  } catch {
    return undefined;
  }
}

/** @throws CoordError COORDINATOR_BUSY, UNREACHABLE */
function requireAccepted(answer: string, subject: string): void {
  if (answer === ACCEPTED) return;
  if (answer !== BUSY) throw unreachable(subject, new Error('it was refused'));
  throw new CoordError(
    'COORDINATOR_BUSY',
    `${subject} takes nobody for a while: too many attempts without a right token came over NATS`,
    {
      hint: 'Check the token, and try again in a minute.',
      facts: { subject },
    },
  );
}

function unreachable(subject: string, cause: unknown): CoordError {
  const why = isNoResponders(cause) ? 'nobody listens there' : cause instanceof Error ? cause.message : String(cause);
  return new CoordError('UNREACHABLE', `cannot reach ${subject} over NATS: ${why}`, {
    hint: 'Check that the other end runs and uses the same NATS server and subject.',
    facts: { subject },
    cause,
  });
}
