/**
 * Rendezvous over NATS: the dialer listens first, then asks at the listener's subject; the listener listens before it
 * answers. So neither misses the other's first message.
 */
import { randomUUID } from 'node:crypto';
import { CoordError, LIMITS } from '@coord/protocol';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { Link } from './link.js';
import { isNoResponders } from './nats-errors.js';
import { NatsLink } from './nats-link.js';
import type { LinkListener } from './ws-listen.js';

/** What a dialer says about itself; checked by the listener's owner. */
export type NatsMeta = Readonly<Record<string, string>>;

export interface NatsListenOptions {
  /** Subject that dialers ask at; the links live below it. */
  readonly subject: string;
  readonly maxMessageBytes?: number;
  readonly keepAliveMs?: number;
  /** False: the dialer is refused. */
  authorize?(meta: NatsMeta): boolean;
}

export interface NatsConnectOptions {
  readonly subject: string;
  readonly timeoutMs: number;
  readonly meta?: NatsMeta;
  readonly maxMessageBytes?: number;
  readonly keepAliveMs?: number;
}

const ID = /^[0-9a-f-]{36}$/;
const upSubject = (subject: string, id: string): string => `${subject}.${id}.up`;
const downSubject = (subject: string, id: string): string => `${subject}.${id}.down`;

export function listenNatsLinks(
  connection: NatsConnection,
  options: NatsListenOptions,
  onLink: (link: Link, meta: NatsMeta) => void,
): LinkListener {
  const open = new Set<Link>();
  const { subject, keepAliveMs, maxMessageBytes = LIMITS.messageBytes } = options;
  const accept = async (message: Msg): Promise<void> => {
    const dial = parseDial(message);
    if (!dial || options.authorize?.(dial.meta) === false) {
      message.respond('refused');
      return;
    }
    const [receiveSubject, sendSubject] = [upSubject(subject, dial.id), downSubject(subject, dial.id)];
    const remote = `nats:${sendSubject}`;
    const link = new NatsLink({ connection, remote, receiveSubject, sendSubject, maxMessageBytes, keepAliveMs });
    open.add(link);
    void link.closed.then(() => open.delete(link));
    await link.ready();
    message.respond('accepted');
    onLink(link, dial.meta);
  };
  const subscription = connection.subscribe(subject, {
    callback: (error, message) => {
      if (!error) void accept(message);
    },
  });
  return {
    async close() {
      subscription.unsubscribe();
      await Promise.all([...open].map((link) => link.close('the server is closing')));
    },
  };
}

/** @throws CoordError UNREACHABLE with a hint. */
export async function connectNatsLink(connection: NatsConnection, options: NatsConnectOptions): Promise<Link> {
  const { subject, timeoutMs, keepAliveMs, meta = {}, maxMessageBytes = LIMITS.messageBytes } = options;
  const id = randomUUID();
  const [receiveSubject, sendSubject] = [downSubject(subject, id), upSubject(subject, id)];
  const remote = `nats:${subject}`;
  const link = new NatsLink({ connection, remote, receiveSubject, sendSubject, maxMessageBytes, keepAliveMs });
  try {
    await link.ready();
    const answer = await connection.request(subject, JSON.stringify({ id, meta }), { timeout: timeoutMs });
    if (answer.string() !== 'accepted') throw new Error('it was refused');
    return link;
  } catch (cause) {
    await link.close('the dial failed');
    throw unreachable(subject, cause);
  }
}

function parseDial(message: Msg): { id: string; meta: NatsMeta } | undefined {
  try {
    const { id, meta } = message.json<{ id?: unknown; meta?: unknown }>();
    const isMeta = typeof meta === 'object' && meta !== null && Object.values(meta).every((v) => typeof v === 'string');
    return typeof id === 'string' && ID.test(id) && isMeta ? { id, meta: meta as NatsMeta } : undefined;
  } catch {
    return undefined;
  }
}

function unreachable(subject: string, cause: unknown): CoordError {
  const why = isNoResponders(cause) ? 'nobody listens there' : cause instanceof Error ? cause.message : String(cause);
  return new CoordError('UNREACHABLE', `cannot reach ${subject} over NATS: ${why}`, {
    hint: 'Check that the other end runs and uses the same NATS server and subject.',
    facts: { subject },
    cause,
  });
}
