/** The rules that look at the state after every event: who is silent, what a broken ring means, whether a window is over. */
import { type Draft, expel } from './draft.js';
import { candidatesOf, isMember, NOBODY, seatedOf } from './state.js';
import type { MembershipOptions, MembershipState, WorkerRecord } from './types.js';
import { listOf, nameOf } from './wording.js';

export function dropSilent(nowMs: number, draft: Draft, options: MembershipOptions): Draft {
  const silent = [...draft.state.workers.values()].filter((w) => nowMs - w.heardMs > options.heartbeatTimeoutMs);
  return silent.reduce((at, worker) => {
    const silentMs = Math.round(nowMs - worker.heardMs);
    const reason = `${nameOf(at.state, worker.workerId)} was silent for ${silentMs} ms; its last phase was ${worker.phase}`;
    return expel(at, worker.workerId, 'LINK_TIMEOUT', reason);
  }, draft);
}

export function closeJoinWindow(nowMs: number, draft: Draft, options: MembershipOptions): Draft {
  const { state } = draft;
  if (state.joinDeadlineMs === undefined || nowMs < state.joinDeadlineMs) return draft;
  const closed = { ...state, joinDeadlineMs: undefined, awaited: NOBODY };
  const isOutside = ({ workerId }: WorkerRecord) => !isMember(state, workerId);
  const fresh = seatedOf(state, options).filter(isOutside);
  if (fresh.length === 0) {
    const spares = candidatesOf(state).filter(isOutside);
    return {
      ...draft,
      state: closed,
      notes: [...draft.notes, ...spares.map((spare) => spareNote(state, spare, options))],
    };
  }
  const ready = `${listOf(fresh.map((worker) => nameOf(state, worker.workerId)))} ${fresh.length === 1 ? 'is' : 'are'} ready`;
  return { ...draft, state: closed, causes: [...draft.causes, ready] };
}

const spareNote = (state: MembershipState, { workerId }: WorkerRecord, { maxWorkers }: MembershipOptions): string =>
  `${nameOf(state, workerId)} waits as a spare: at most ${maxWorkers} workers train at a time`;
