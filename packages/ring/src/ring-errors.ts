import { CoordError, isCoordError } from '@coord/protocol';
import { PATIENCE_FACTOR, type Silence } from './progress-timer.js';
import type { RingPhase } from './schedule.js';
import type { OperationName } from './segment-header.js';

/** Where in an operation a rank stands; the facts of its errors. */
export interface RingPosition {
  readonly rank: number;
  readonly size: number;
  readonly sequence: number;
  readonly operation: OperationName;
  /** The rank that it waits for. */
  peer: number;
  phase: RingPhase;
  step: number;
  segment: number;
}

const place = ({ operation, sequence, phase }: RingPosition): string => `in the ${phase} of ${operation} ${sequence}`;

/** @param peer the rank that the trouble is with. */
export function ringBroken(position: RingPosition, peer: number, cause: unknown): CoordError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CoordError('RING_BROKEN', `rank ${position.rank} lost rank ${peer} ${place(position)}: ${why}`, {
    facts: { ...position, peer },
    cause,
  });
}

export function ringTimeout(position: RingPosition, timeoutMs: number, silence: Silence): CoordError {
  const { rank, peer } = position;
  if (silence.type === 'silent') {
    const what = `rank ${rank} heard nothing from rank ${peer} for ${timeoutMs} ms ${place(position)}`;
    return new CoordError('RING_TIMEOUT', what, { facts: { ...position, timeoutMs } });
  }
  const waitedMs = PATIENCE_FACTOR * timeoutMs;
  const what = `rank ${rank} has waited ${waitedMs} ms for rank ${silence.by}, which lives and does not come, ${place(position)}`;
  return new CoordError('RING_TIMEOUT', what, {
    hint: 'Give that worker less to do at a time (a smaller batch.grainSize), or train without it.',
    facts: { ...position, peer: silence.by, timeoutMs: waitedMs },
  });
}

/** The reason that the caller gave, when it is one of ours. */
export function viewChanged(rank: number, signal: AbortSignal): CoordError {
  if (isCoordError(signal.reason)) return signal.reason;
  return new CoordError('VIEW_CHANGED', `rank ${rank} left the ring, because the view changed`, {
    facts: { rank },
    cause: signal.reason,
  });
}
