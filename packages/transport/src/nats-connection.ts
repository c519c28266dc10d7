/** Opens the connection to a NATS server that links share. */
import { CoordError } from '@coord/protocol';
import { connect, type NatsConnection } from '@nats-io/transport-node';

export interface NatsOpenOptions {
  /** e.g. `nats://host:4222`; several are tried in turn. */
  readonly servers: string | string[];
  readonly timeoutMs: number;
  /** Shown by the server's monitoring. */
  readonly name?: string;
  readonly token?: string;
}

/** @throws CoordError UNREACHABLE with a hint. */
export async function openNats({ servers, timeoutMs, name, token }: NatsOpenOptions): Promise<NatsConnection> {
  try {
    return await connect({ servers, timeout: timeoutMs, name, token, reconnect: false });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CoordError('UNREACHABLE', `cannot reach the NATS server at ${servers}: ${why}`, {
      hint: 'Check that nats-server runs there, and its credentials.',
      facts: { servers: String(servers) },
      cause,
    });
  }
}
