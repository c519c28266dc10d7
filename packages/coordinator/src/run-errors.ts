/** Errors that end a run, or keep a worker out of it. */
import { CoordError, LIMITS, toErrorRecord } from '@coord/protocol';

export const fullError = (): CoordError =>
  new CoordError('JOIN_REFUSED', `the run has ${LIMITS.members} workers already; that is the limit`);

export const endingError = (runId: string, phase: string): CoordError =>
  new CoordError('JOIN_REFUSED', `the run ${runId} is ending and takes no more workers`, { facts: { runId, phase } });

export const closedError = (): CoordError =>
  new CoordError('INTERRUPTED', 'the coordinator was closed before the run ended', {
    hint: 'Resume the run from its last checkpoint with --resume.',
  });

/** @param last the last worker, and why it is gone: says more than "all are gone". */
export const workersLostError = (last: string): CoordError =>
  new CoordError('WORKERS_LOST', `every worker is gone; the last one was ${last}`, {
    hint: 'Look at that worker first. The run can be resumed from its last checkpoint with --resume.',
  });

/** The run ends with a state older than the steps that were completed. */
export const lostStepsError = (step: number, lost: number): CoordError =>
  new CoordError(
    'WORKERS_LOST',
    `no worker is left that holds the last ${lost === 1 ? 'step' : `${lost} steps`}; the run ends with step ${step}`,
    {
      facts: { step, lost },
      hint: 'Resuming computes them again, with the same result.',
    },
  );

export const endDisagreementError = (opinions: string): CoordError =>
  new CoordError('REPLICA_DIVERGED', `workers ended with different weights: ${opinions}`, {
    facts: { opinions },
    hint: 'Resume from the last checkpoint, with three or more workers to find the odd one.',
  });

export const endStateError = (label: string): CoordError =>
  new CoordError('REPLICA_DIVERGED', `${label} does not hold the state that it ended with`, {
    hint: 'Check that machine: memory faults are the usual cause. Others compute the last steps again.',
  });

/** Training is complete, its result is not saved. */
export function lastCheckpointError(cause: unknown): CoordError {
  const { code, message } = toErrorRecord(cause);
  if (code === 'STATE_UNAVAILABLE') {
    return new CoordError('WORKERS_LOST', `every worker was gone before the last state was saved: ${message}`, {
      cause,
      hint: 'Resume the run from its last checkpoint with --resume; it comes to the same weights.',
    });
  }
  if (cause instanceof CoordError) return cause;
  return new CoordError('CHECKPOINT_WRITE_FAILED', `the last checkpoint could not be written: ${message}`, {
    cause,
    hint: 'Make room on the disk of the run directory, then resume from the checkpoint before with --resume.',
  });
}

/** Nobody is left to go on from its state. */
export const lastWorkerError = (label: string): CoordError =>
  new CoordError(
    'USAGE',
    `${label} is the only worker that stays: without it the steps since the last checkpoint are lost`,
    {
      hint: 'Add another worker first, or end the run with Ctrl-C at `coord start`, which writes a checkpoint.',
    },
  );
