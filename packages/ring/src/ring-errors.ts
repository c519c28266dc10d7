import { CoordError, isCoordError } from '@coord/protocol';
import type { RingPhase } from './schedule.js';
import type { OperationName } from './segment-header.js';

/** Where in an operation a rank stands; the facts of its errors. */
export interface RingPosition {
  readonly rank: number;
  readonly size: number;
  readonly sequence: number;
  readonly operation: OperationName;
  phase: RingPhase;
  step: number;
  segment: number;
}

const neighbour = ({ rank, size }: RingPosition, distance: number): number => (rank + distance + size) % size;

const place = ({ operation, sequence, phase }: RingPosition): string => `in the ${phase} of ${operation} ${sequence}`;

/** @param direction which neighbour the trouble is with. */
export function ringBroken(position: RingPosition, direction: 'next' | 'prev', cause: unknown): CoordError {
  const peer = neighbour(position, direction === 'next' ? 1 : -1);
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CoordError('RING_BROKEN', `rank ${position.rank} lost rank ${peer} ${place(position)}: ${why}`, {
    facts: { ...position, peer },
    cause,
  });
}

export function ringTimeout(position: RingPosition, timeoutMs: number): CoordError {
  const peer = neighbour(position, -1);
  return new CoordError(
    'RING_TIMEOUT',
    `rank ${position.rank} heard nothing from rank ${peer} for ${timeoutMs} ms ${place(position)}`,
    { facts: { ...position, peer, timeoutMs } },
  );
}

/** The reason that the caller gave, when it is one of ours. */
export function viewChanged(rank: number, signal: AbortSignal): CoordError {
  if (isCoordError(signal.reason)) return signal.reason;
  return new CoordError('VIEW_CHANGED', `rank ${rank} left the ring, because the view changed`, {
    facts: { rank },
    cause: signal.reason,
  });
}
