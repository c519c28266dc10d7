/** A run's way in over NATS: its whereabouts, links of workers, notices of the ledger. */
import { CoordError, LIMITS } from '@coord/protocol';
import type { Link } from '@coord/transport';
import type { FailedAttempts } from './access/failed-attempts.js';
import type { Chronicle } from './chronicle.js';
import type { CoordinatorOptions } from './options.js';

const TIMEOUT_MS = 10_000;
/** The server does not say from where a message comes: wrong dials of all that use it count together, and keep nobody out. */
const EVERYBODY = 'nats';

export interface NatsDoor {
  /** The address for workers. */
  readonly url: string;
  /** Where notices are wanted: tells whoever listens which lines of the ledger are on the disk. Nobody need listen. */
  notify(lines: readonly string[]): void;
  close(): Promise<void>;
}

export interface NatsDoorParts {
  readonly failures: FailedAttempts;
  readonly chronicle: Chronicle;
  /** Takes links of dialers that know one of the tokens. */
  door(link: Link): void;
}

/**
 * Subjects: `coord.RUN.join` takes links, `coord.RUN.ledger` carries notices.
 *
 * @throws CoordError UNREACHABLE when there is no server; NATS_DENIED when it does not allow what a run needs; USAGE when the address or the run's id is none.
 */
export async function openNatsDoor(
  { nats, run, tokens, logger }: Pick<CoordinatorOptions, 'nats' | 'run' | 'tokens' | 'logger'>,
  { failures, chronicle, door }: NatsDoorParts,
): Promise<NatsDoor | undefined> {
  if (!nats) return undefined;
  // The client is loaded only where it is used.
  const transport = await import('@coord/transport/nats');
  const prefix = transport.subjectPrefix(run.runId);
  const address = transport.parseNatsAddress(nats.url, nats.credentials);
  const { server: servers, tls, credentials } = address;
  const name = `coord coordinator of ${run.runId}`;
  const onForgery = transport.countForgeries((messages, from) =>
    logger.warn({ messages, from }, 'messages over NATS came from nobody of this run, and were dropped'),
  );
  let denied: Error | undefined;
  const onDenied = (error: Error) => {
    denied ??= error;
    logger.warn({ error: error.message }, 'the NATS server does not allow something');
  };
  const about = { servers, tls, credentials, name, timeoutMs: TIMEOUT_MS, onForgery, onDenied };
  const gateway = await transport.NatsGateway.open(about);
  const identity = {
    standing: tokens.standing,
    match: (passes: (secret: string) => boolean) => tokens.match(passes)?.secret,
  };
  const onRefused = () => {
    // The log is not for floods.
    if (failures.blockedMs(EVERYBODY) === 0) chronicle.warnOf(tokenWrong(prefix));
    failures.note(EVERYBODY);
  };
  let listener: { close(): Promise<void> } | undefined;
  gateway.onConnection((connection) => {
    const join = { ...identity, subject: `${prefix}.join`, strangerBytes: 2 * LIMITS.handshakeBytes, onRefused };
    listener = transport.listenNatsLinks(connection, join, door);
    transport.announceRun(connection, run.runId, identity);
  });
  // Who hears where this run is may ask at once.
  await gateway.connection.flush();
  if (denied) {
    await gateway.close();
    throw transport.deniedError(denied);
  }
  return {
    url: transport.natsUrl(address, run.runId),
    notify(lines) {
      if (!nats.notices) return;
      for (const line of lines) gateway.tryPublish(`${prefix}.ledger`, line);
    },
    async close() {
      await listener?.close();
      await gateway.close();
    },
  };
}

const tokenWrong = (prefix: string): CoordError =>
  new CoordError('TOKEN_WRONG', `somebody at the NATS server asked at ${prefix}.join without a right join token`, {
    hint: 'Copy the whole `coord worker …` line that `coord start` printed; every new run makes a token of its own unless --token is given, and tokens can be revoked.',
  });
