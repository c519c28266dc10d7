/** Opens a connection to a NATS server that links share. */
import { CoordError } from '@coord/protocol';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { NatsAddress } from './nats-address.js';

export interface NatsOpenOptions extends Partial<Pick<NatsAddress, 'tls' | 'credentials'>> {
  /** `HOST:PORT` or `nats://HOST:PORT`. */
  readonly servers: string;
  readonly timeoutMs: number;
  /** Shown by the server's monitoring. */
  readonly name?: string;
}

/** A server whose machine is gone is noticed after this and as much again. */
const PING_INTERVAL_MS = 5000;
const MAX_PINGS_OUT = 2;

/**
 * The connection does not mend itself: what was under way on it is lost, and its links must know. `NatsGateway` opens
 * another one.
 *
 * @throws CoordError UNREACHABLE with a hint.
 */
export async function openNats({
  servers,
  tls,
  credentials,
  timeoutMs,
  name,
}: NatsOpenOptions): Promise<NatsConnection> {
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
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CoordError('UNREACHABLE', `cannot reach the NATS server at ${servers}: ${why}`, {
      hint: 'Check that nats-server runs there, and its credentials (COORD_NATS_CREDENTIALS, as USER:PASSWORD or TOKEN).',
      facts: { servers },
      cause,
    });
  }
}
