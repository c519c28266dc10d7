/** Whose turn it is: what a worker may say in which part of its life. Everything else is MESSAGE_UNEXPECTED. */
import { CoordError, type WorkerMessage } from '@coord/protocol';

/** `joined`: welcomed; `ready`: waits for a view; `returned`: waits for one too, and trains on under an older one; `training`: has been in a view; `finished`: computes nothing more. */
export type WorkerStage = 'joined' | 'ready' | 'returned' | 'training' | 'finished';

type Turn = Readonly<Record<WorkerStage, boolean>>;

const always: Turn = { joined: true, ready: true, returned: true, training: true, finished: true };
const once: Turn = { joined: true, ready: false, returned: false, training: false, finished: false };
const inTraining: Turn = { joined: false, ready: false, returned: true, training: true, finished: false };
const afterView: Turn = { joined: false, ready: false, returned: true, training: true, finished: true };

/** States are also guarded by whether one was asked for; see WorkerSession. */
const TURNS: Readonly<Record<WorkerMessage['type'], Turn>> = {
  ready: once,
  heartbeat: always,
  'step-report': inTraining,
  'evaluation-report': afterView,
  diverged: afterView,
  'ring-failed': afterView,
  'block-request': always,
  'state-request': always,
  'peers-request': once,
  'state-begin': afterView,
  'state-chunk': afterView,
  'state-end': afterView,
  finished: afterView,
  leaving: always,
  failed: always,
};

/** @throws CoordError MESSAGE_UNEXPECTED */
export function checkTurn(from: string, stage: WorkerStage, type: WorkerMessage['type']): void {
  if (!TURNS[type][stage]) throw unexpected(from, type, `a worker that is ${stage} does not say that`);
}

export function unexpected(from: string, type: WorkerMessage['type'], why: string): CoordError {
  return new CoordError('MESSAGE_UNEXPECTED', `${from} sent ${type} out of turn: ${why}`, { facts: { from, type } });
}
