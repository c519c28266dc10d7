/** The rules that look at the state after every event: who is silent, what a broken ring means, whether a window is over. */
import { type Draft, expel } from './draft.js';
import { candidatesOf, isMember, NOBODY, seatedOf } from './state.js';
import type { MembershipOptions, MembershipState, RingFailure, WorkerRecord } from './types.js';
import { listOf, nameOf } from './wording.js';

export function dropSilent(nowMs: number, draft: Draft, options: MembershipOptions): Draft {
  const silent = [...draft.state.workers.values()].filter((w) => nowMs - w.heardMs > options.heartbeatTimeoutMs);
  return silent.reduce((at, worker) => {
    const silentMs = Math.round(nowMs - worker.heardMs);
    const reason = `${nameOf(at.state, worker.workerId)} was silent for ${silentMs} ms; its last phase was ${worker.phase}`;
    return expel(at, worker.workerId, 'LINK_TIMEOUT', reason);
  }, draft);
}

/** After the grace, or when everybody has reported: count the failure, expel a worker that keeps causing it, try again. */
export function judgeRing(nowMs: number, draft: Draft, options: MembershipOptions): Draft {
  const { state } = draft;
  const failure = state.ringFailure;
  if (!failure || draft.causes.length > 0) return draft;
  const nobodyIsDead = state.failures === 0 && state.members.every((id) => failure.reports.has(id));
  if (!nobodyIsDead && nowMs < failure.deadlineMs) return draft;
  const suspect = suspectOf(state.members, failure);
  const suspicions = new Map(state.suspicions);
  if (suspect) suspicions.set(suspect, (suspicions.get(suspect) ?? 0) + 1);
  const failures = state.failures + 1;
  const counted = { ...draft, state: { ...state, failures, suspicions } };
  if (suspect && suspicions.get(suspect)! >= options.expelAfterFailures) {
    const times = `${suspicions.get(suspect)} times in a row`;
    return expel(counted, suspect, 'RING_BROKEN', `${nameOf(state, suspect)} broke the ring ${times}`);
  }
  const cause = `the ring broke at step ${failure.step}, nobody is lost (failure ${failures} in a row)`;
  return { ...counted, causes: [cause] };
}

/**
 * The one worker that most reporters point at. Who stays silent while every other member reports points at itself.
 * A tie names nobody: an accusation against an accusation is no proof.
 */
function suspectOf(members: readonly string[], failure: RingFailure): string | undefined {
  const votes = new Map<string, number>();
  const vote = (id: string) => votes.set(id, (votes.get(id) ?? 0) + 1);
  for (const suspect of failure.reports.values()) if (suspect && members.includes(suspect)) vote(suspect);
  const silent = members.filter((id) => !failure.reports.has(id));
  if (silent.length === 1 && members.length > 2) vote(silent[0]);
  const [first, second] = [...votes].sort((a, b) => b[1] - a[1]);
  return first && first[1] > (second?.[1] ?? 0) ? first[0] : undefined;
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
