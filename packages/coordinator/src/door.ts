/** The door: strangers come in, workers go on to the conductor, everybody else is told why not. */
import { type Clock, type ErrorCode, isCoordError } from '@coord/protocol';
import type { Link } from '@coord/transport';
import { FailedAttempts } from './access/failed-attempts.js';
import type { TokenBook } from './access/token-book.js';
import type { Chronicle } from './chronicle.js';
import type { Conductor } from './conductor.js';
import { challengeWorker, type HandshakeOptions, refuse } from './handshake.js';
import { Strangers } from './strangers.js';

/** What comes of no worker that was given a token and an address: these count as failed attempts of the address. */
const OF_STRANGERS = [
  'TOKEN_WRONG',
  'PROTOCOL_VERSION',
  'LINK_TIMEOUT',
  'FRAME_INVALID',
  'FRAME_TOO_LARGE',
  'MESSAGE_INVALID',
  'MESSAGE_UNEXPECTED',
] as const satisfies ErrorCode[];

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
  const strangers = new Strangers();
  return async (link, address) => {
    try {
      const admission = await strangers.wait(link.remote, address, () => challengeWorker(link, handshake));
      link.admit?.();
      const refusal = conductor.refusalOf(admission);
      if (refusal) throw refusal;
      await conductor.serve(link, admission);
    } catch (error) {
      if (isCoordError(error, ...OF_STRANGERS) && address !== undefined) failures.note(address);
      // Who is sent away because others crowd in may do so a thousand times: the log is not for that.
      if (!isCoordError(error, 'LINK_CLOSED', 'COORDINATOR_BUSY')) chronicle.warnOf(error);
      await refuse(link, error);
    }
  };
}
