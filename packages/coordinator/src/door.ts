/** The door: strangers come in, workers go on to the conductor, everybody else is told why not. */
import { type Clock, CoordError, isCoordError } from '@coord/protocol';
import type { Link } from '@coord/transport';
import type { Chronicle } from './chronicle.js';
import type { Conductor } from './conductor.js';
import { challengeWorker, type HandshakeOptions, refuse } from './handshake.js';

/** Connections that may be in the middle of the handshake at one time: bounds what unproven peers can make us hold. */
const MAX_STRANGERS = 64;

export interface DoorOptions {
  readonly token: string;
  readonly clock: Clock;
  readonly handshakeTimeoutMs: number;
  readonly conductor: Conductor;
  readonly chronicle: Chronicle;
}

/** @returns the handler of new links; what it returns resolves when the link's story is over. */
export function createDoor(options: DoorOptions): (link: Link) => Promise<void> {
  const { token, clock, handshakeTimeoutMs, conductor, chronicle } = options;
  const handshake: HandshakeOptions = { token, clock, timeoutMs: handshakeTimeoutMs };
  let strangers = 0;
  return async (link) => {
    try {
      if (strangers >= MAX_STRANGERS) throw crowded(link);
      strangers++;
      const admission = await challengeWorker(link, handshake).finally(() => strangers--);
      if (conductor.refusal) throw conductor.refusal;
      await conductor.serve(link, admission);
    } catch (error) {
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
