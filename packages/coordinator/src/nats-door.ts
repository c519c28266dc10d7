/** A run's way in over NATS: its whereabouts, links of workers, notices of the ledger. */
import { LIMITS } from '@coord/protocol';
import type { Link } from '@coord/transport';
import type { FailedAttempts } from './access/failed-attempts.js';
import type { CoordinatorOptions } from './options.js';

const TIMEOUT_MS = 10_000;
/** The server does not say from where a message comes: wrong proofs of all that use it count together. */
const EVERYBODY = 'nats';

export interface NatsDoor {
  /** The address for workers. */
  readonly url: string;
  /** Tells whoever listens which lines of the ledger are on the disk. Nobody need listen. */
  notify(lines: readonly string[]): void;
  close(): Promise<void>;
}

/**
 * Subjects: `coord.RUN.join` takes links, `coord.RUN.ledger` carries notices.
 *
 * @throws CoordError UNREACHABLE when there is no server; USAGE when the address or the run's id is none.
 */
export async function openNatsDoor(
  { nats, run }: Pick<CoordinatorOptions, 'nats' | 'run'>,
  failures: FailedAttempts,
  door: (link: Link, address: string) => void,
): Promise<NatsDoor | undefined> {
  if (!nats) return undefined;
  // The client is loaded only where it is used.
  const transport = await import('@coord/transport/nats');
  const prefix = transport.subjectPrefix(run.runId);
  const address = transport.parseNatsAddress(nats.url, nats.credentials);
  const { server: servers, tls, credentials } = address;
  const name = `coord coordinator of ${run.runId}`;
  const gateway = await transport.NatsGateway.open({ servers, tls, credentials, name, timeoutMs: TIMEOUT_MS });
  const isBusy = () => failures.blockedMs(EVERYBODY) > 0;
  let listener: { close(): Promise<void> } | undefined;
  gateway.onConnection((connection) => {
    const join = { subject: `${prefix}.join`, strangerBytes: 2 * LIMITS.handshakeBytes, isBusy };
    listener = transport.listenNatsLinks(connection, join, (link) => door(link, EVERYBODY));
    transport.announceRun(connection, run.runId);
  });
  return {
    url: transport.natsUrl(address, run.runId),
    notify(lines) {
      for (const line of lines) gateway.tryPublish(`${prefix}.ledger`, line);
    },
    async close() {
      await listener?.close();
      await gateway.close();
    },
  };
}
