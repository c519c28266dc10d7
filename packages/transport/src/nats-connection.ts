/** Opens a connection to a NATS server that links share. */
import { CoordError } from '@coord/protocol';
import { connect, type NatsConnection, type Status } from '@nats-io/transport-node';
import type { NatsAddress } from './nats-address.js';
import { isRefusal } from './nats-errors.js';
import { type OnForgery, onForgeries } from './nats-forgeries.js';

export interface NatsOpenOptions extends Partial<Pick<NatsAddress, 'tls' | 'credentials'>> {
  /** `HOST:PORT` or `nats://HOST:PORT`. */
  readonly servers: string;
  readonly timeoutMs: number;
  /** Shown by the server's monitoring. */
  readonly name?: string;
  /** Hears of every message on the subjects of its channels that is none of theirs. */
  readonly onForgery?: OnForgery;
  /** The server does not do something: it lacks a permission, or a limit of it is reached. Who asked for it may not be told otherwise. */
  readonly onDenied?: (error: Error) => void;
}

/** Dials, proofs and what is said of a run are shorter; everything else is cut into chunks. */
const MIN_PAYLOAD_BYTES = 1024;
/** A server whose machine is gone is noticed after this and as much again. */
const PING_INTERVAL_MS = 5000;
const MAX_PINGS_OUT = 2;

/**
 * The connection does not mend itself: what was under way on it is lost, and its links must know. `NatsGateway` opens
 * another one.
 *
 * @throws CoordError UNREACHABLE with a hint; TOKEN_WRONG where the server refuses the credentials: nobody need try again.
 */
export async function openNats({
  servers,
  tls,
  credentials,
  timeoutMs,
  name,
  onForgery,
  onDenied = () => {},
}: NatsOpenOptions): Promise<NatsConnection> {
  const connection = await connectTo({ servers, tls, credentials, timeoutMs, name });
  if (onForgery) onForgeries(connection, onForgery);
  void hearErrors(connection.status(), onDenied);
  const maxPayloadBytes = connection.info?.max_payload ?? MIN_PAYLOAD_BYTES;
  if (maxPayloadBytes >= MIN_PAYLOAD_BYTES) return connection;
  await connection.close();
  throw tooNarrow(servers, maxPayloadBytes);
}

/** Ends with the connection. */
async function hearErrors(news: AsyncIterable<Status>, onDenied: (error: Error) => void): Promise<void> {
  for await (const status of news) if (status.type === 'error') onDenied(status.error);
}

async function connectTo({ servers, tls, credentials, timeoutMs, name }: NatsOpenOptions): Promise<NatsConnection> {
  try {
    return await connect({
      servers,
      tls: tls ? {} : undefined,
      timeout: timeoutMs,
      name,
      ...credentials,
      reconnect: false,
      pingInterval: PING_INTERVAL_MS,
      maxPingOut: MAX_PINGS_OUT,
    });
  } catch (cause) {
    throw isRefusal(cause) ? refused(servers, credentials !== undefined, cause) : unreachable(servers, cause);
  }
}

function unreachable(servers: string, cause: unknown): CoordError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const hint = /certificate/i.test(why)
    ? "Its certificate must be one that this machine's authorities vouch for; a file with others can be named in NODE_EXTRA_CA_CERTS."
    : 'Check that nats-server runs there, and its credentials (COORD_NATS_CREDENTIALS, as USER:PASSWORD or TOKEN).';
  return new CoordError('UNREACHABLE', `cannot reach the NATS server at ${servers}: ${why}`, {
    hint,
    facts: { servers },
    cause,
  });
}

function tooNarrow(servers: string, maxPayloadBytes: number): CoordError {
  const what = `takes messages of ${maxPayloadBytes} bytes at most, and ${MIN_PAYLOAD_BYTES} are needed`;
  return new CoordError('UNREACHABLE', `the NATS server at ${servers} ${what}`, {
    hint: 'Raise max_payload in the configuration of that server.',
    facts: { servers, maxPayloadBytes },
  });
}

function refused(servers: string, hasCredentials: boolean, cause: Error): CoordError {
  const what = hasCredentials ? 'refuses the credentials that it was given' : 'wants credentials, and was given none';
  return new CoordError('TOKEN_WRONG', `the NATS server at ${servers} ${what}: ${cause.message}`, {
    hint: 'Set COORD_NATS_CREDENTIALS to USER:PASSWORD or TOKEN, as that server knows them; trying again changes nothing.',
    facts: { servers },
    cause,
  });
}
