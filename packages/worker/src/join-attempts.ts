/** Attempts to join a coordinator: one, with a limit of time; and the first of all, which may be patient. */
import { type Clock, type CoordError, isCoordError } from '@coord/protocol';
import type { Link } from '@coord/transport';
import { backoffMs } from './backoff.js';
import { CoordinatorSession, type JoinIdentity } from './coordinator-session.js';

/** Ends of an attempt after which another one makes sense. */
const NOT_THERE_YET = ['UNREACHABLE', 'COORDINATOR_BUSY', 'LINK_CLOSED', 'LINK_TIMEOUT'] as const;

/** Time for one attempt to connect and join. */
const JOIN_TIMEOUT_MS = 10_000;

export interface JoinOptions {
  readonly dial: (timeoutMs: number) => Promise<Link>;
  readonly identity: JoinIdentity;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** How long the first join waits for a coordinator that is not there yet; not at all where it is left out. */
  readonly joinPatienceMs?: number | undefined;
  /** Nobody is there yet, for this reason; told once. */
  readonly onAwaited?: ((reason: CoordError) => void) | undefined;
}

export interface Joined {
  readonly session: CoordinatorSession;
  /** Address of this end. */
  readonly localAddress: string;
}

export const isNotThereYet = (error: unknown): error is CoordError => isCoordError(error, ...NOT_THERE_YET);

/** Tries again with growing pauses until somebody is there. @throws CoordError of the last attempt, or of a refusal. */
export async function joinPatiently(options: JoinOptions): Promise<Joined> {
  const { clock, random, joinPatienceMs = 0, onAwaited } = options;
  const deadlineMs = clock.nowMs() + joinPatienceMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await joinOnce(options);
    } catch (error) {
      const leftMs = deadlineMs - clock.nowMs();
      if (!isNotThereYet(error) || leftMs <= 0) throw error;
      if (attempt === 0) onAwaited?.(error);
      const pauseMs = Math.min(leftMs, backoffMs(attempt, random));
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
    }
  }
}

/** Closes the link when the join fails, or takes longer than any living coordinator needs. */
export async function joinOnce({ dial, identity, clock }: JoinOptions): Promise<Joined> {
  const link = await dial(JOIN_TIMEOUT_MS);
  const cancel = clock.after(JOIN_TIMEOUT_MS, () => void link.close('the coordinator does not answer'));
  try {
    return { session: await CoordinatorSession.join(link, identity), localAddress: link.localAddress };
  } catch (error) {
    await link.close('join failed');
    throw error;
  } finally {
    cancel();
  }
}
