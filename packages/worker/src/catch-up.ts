/**
 * How a newcomer gets the state while the others train: it begins to follow one of them, copies the state of a step that is about
 * to be completed from several at once, and makes all updates since then itself. When it enters the ring it is a step behind at
 * most, and nobody has waited for it.
 */
import type { View } from '@coord/protocol';
import type { Logger } from 'pino';
import type { HostState } from './host-state.js';
import { copyState, type SourcePatience, type StateSource } from './state-copy.js';
import { StateFollower } from './state-follower.js';
import type { UpdateParts } from './update.js';

/** Hosts that one newcomer copies from. */
const MAX_SOURCES = 4;
const MAX_ATTEMPTS = 5;
/** Steps from the request of a copy to the copy, so that all sources hear of it in time; doubled when one did not. */
const LEAD_STEPS = 2;

export interface CatchUpOptions {
  /** The view in force. */
  readonly view: View;
  readonly sourceOf: (rank: number) => StateSource;
  readonly parts: UpdateParts;
  readonly patience: SourcePatience;
  readonly logger: Logger;
}

/** Ranks to copy from: spread over the ring, so that newcomers that come together do not all ask the same. */
export function sourceRanks(size: number, start: number): number[] {
  const count = Math.min(size, MAX_SOURCES);
  return Array.from({ length: count }, (_, index) => (start + Math.floor((index * size) / count)) % size);
}

/** @throws CoordError when the state cannot be had in this way. */
export async function catchUp({ view, sourceOf, parts, patience, logger }: CatchUpOptions): Promise<StateFollower> {
  const ranks = sourceRanks(view.members.length, view.generation % view.members.length);
  const sources = ranks.map(sourceOf);
  const follower = await StateFollower.open(sources[0], parts, patience);
  try {
    const step = await copyAtBoundary(sources, parts.state, follower.since, patience);
    follower.begin();
    await follower.caughtUp();
    logger.info({ copied: step, step: parts.state.step, sources: ranks }, 'caught up while the others train');
    return follower;
  } catch (error) {
    await follower.close();
    throw error;
  }
}

async function copyAtBoundary(
  sources: readonly StateSource[],
  state: HostState,
  since: number,
  patience: SourcePatience,
): Promise<number> {
  let newest = since;
  for (let lead = LEAD_STEPS; lead <= LEAD_STEPS * 2 ** MAX_ATTEMPTS; lead *= 2) {
    const passed = await copyState(sources, state, newest + lead, patience);
    if (passed === undefined) return state.step;
    newest = passed;
  }
  throw new Error(`the others are past every step that was asked for, the last time at step ${newest}`);
}
