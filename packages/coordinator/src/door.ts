/** The door: strangers come in, workers go on to the conductor, everybody else is told why not. */
import { type Clock, CoordError, isCoordError } from '@coord/protocol';
import type { Link } from '@coord/transport';
import { FailedAttempts } from './access/failed-attempts.js';
import type { TokenBook } from './access/token-book.js';
import type { Chronicle } from './chronicle.js';
import type { Conductor } from './conductor.js';
import { challengeWorker, type HandshakeOptions, refuse } from './handshake.js';

/** Connections that may be in the middle of the handshake at one time: bounds what unproven peers can make us hold. */
const MAX_STRANGERS = 64;

export interface DoorOptions {
  readonly tokens: TokenBook;
  readonly clock: Clock;
  readonly handshakeTimeoutMs: number;
  readonly conductor: Conductor;
  readonly chronicle: Chronicle;
  /** Shared with other ways in. */
  readonly failures?: FailedAttempts;
}

/**
 * @returns the handler of new links, with the address that they come from where the transport says it; what it returns resolves
 *   when the link's story is over.
 */
export function createDoor(options: DoorOptions): (link: Link, address?: string) => Promise<void> {
  const { tokens, clock, handshakeTimeoutMs, conductor, chronicle } = options;
  const { failures = new FailedAttempts(clock) } = options;
  const handshake: HandshakeOptions = { tokens, runId: conductor.runId, clock, timeoutMs: handshakeTimeoutMs };
  let strangers = 0;
  return async (link, address) => {
    try {
      if (strangers >= MAX_STRANGERS) throw crowded(link);
      strangers++;
      const admission = await challengeWorker(link, handshake).finally(() => strangers--);
      link.admit?.();
      if (conductor.refusal) throw conductor.refusal;
      await conductor.serve(link, admission);
    } catch (error) {
      if (isCoordError(error, 'TOKEN_WRONG') && address !== undefined) failures.note(address);
      if (!isCoordError(error, 'LINK_CLOSED')) chronicle.warnOf(error);
      await refuse(link, error);
    }
  };
}

const crowded = (link: Link): CoordError =>
  new CoordError('COORDINATOR_BUSY', `${link.remote} has to wait: ${MAX_STRANGERS} connections are joining already`, {
    facts: { remote: link.remote },
    hint: 'Try again in a few seconds.',
  });
