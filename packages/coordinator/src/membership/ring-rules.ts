/**
 * A broken ring without a lost member: who is to blame, and what follows. What members report is no proof. A worker whose link a
 * fault has cut is named by its neighbours just like one that is at fault, and a host that leaves a broken ring breaks it for its
 * neighbours, who name it in turn. So the one suspect of several failures in a row is left out only for a while; the others go on.
 * It is expelled when it has come back several times, after longer and longer pauses, and still nothing works with it. Where the
 * others are too few without it they wait, and the wait says for whom: a ring that it breaks makes no steps either.
 */
import { type Draft, expel } from './draft.js';
import type { MembershipOptions, MembershipState, Pause, RingFailure } from './types.js';
import { nameOf } from './wording.js';

/** Pauses of a worker are forgotten when it has been in working rings for so long after the last one. */
const FORGET_PAUSES_MS = 60_000;

/** After the grace, or when everybody has reported: count the failure, leave out a worker that keeps causing it, try again. */
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
  if (suspect && suspicions.get(suspect)! >= options.pauseAfterFailures)
    return leaveOut(nowMs, counted, suspect, options);
  const cause = `the ring broke at step ${failure.step}, nobody is lost (failure ${failures} in a row)`;
  return { ...counted, causes: [cause] };
}

/**
 * The one worker that most reporters point at. Who stays silent while every other member reports points at itself.
 * A tie names nobody, and of two members neither: an accusation against an accusation is no proof.
 */
function suspectOf(members: readonly string[], failure: RingFailure): string | undefined {
  if (members.length <= 2) return undefined;
  const votes = new Map<string, number>();
  const vote = (id: string) => votes.set(id, (votes.get(id) ?? 0) + 1);
  for (const suspect of failure.reports.values()) if (suspect && members.includes(suspect)) vote(suspect);
  const silent = members.filter((id) => !failure.reports.has(id));
  if (silent.length === 1) vote(silent[0]);
  const [first, second] = [...votes].sort((a, b) => b[1] - a[1]);
  return first && first[1] > (second?.[1] ?? 0) ? first[0] : undefined;
}

function leaveOut(nowMs: number, draft: Draft, suspect: string, options: MembershipOptions): Draft {
  const { state } = draft;
  const name = nameOf(state, suspect);
  const count = (state.pauses.get(suspect)?.count ?? 0) + 1;
  const times = `${state.suspicions.get(suspect)} times in a row`;
  if (count > options.maxPauses) {
    return expel(draft, suspect, 'RING_BROKEN', `${name} broke the ring ${times}, again after ${count - 1} pauses`);
  }
  const durationMs = options.pauseMs * 2 ** (count - 1);
  const paused = withPause(state, suspect, { count, untilMs: nowMs + durationMs, isOver: false });
  const suspicions = new Map(state.suspicions);
  suspicions.delete(suspect);
  const members = state.members.filter((id) => id !== suspect);
  const cause = `${name} broke the ring ${times}: it pauses for ${Math.round(durationMs / 1000)} s`;
  return { ...draft, state: { ...paused, members, suspicions, failures: 0 }, causes: [cause] };
}

/** Whose pause is over is taken back into the next view, which is formed at once. */
export function endPauses(nowMs: number, draft: Draft): Draft {
  const { state } = draft;
  const over = [...state.pauses].filter(([, { untilMs, isOver }]) => !isOver && nowMs >= untilMs);
  if (over.length === 0) return draft;
  const ended = over.reduce((at, [id, pause]) => withPause(at, id, { ...pause, isOver: true }), state);
  const isWanted = !state.stopping && over.some(([id]) => state.workers.has(id));
  const joinDeadlineMs = isWanted ? nowMs : state.joinDeadlineMs;
  const notes = over.map(([id]) => `the pause of ${nameOf(state, id)} is over`);
  return { ...draft, state: { ...ended, joinDeadlineMs }, notes: [...draft.notes, ...notes] };
}

/** A completed step proves that the ring of this view works. */
export function trustAgain(nowMs: number, state: MembershipState): MembershipState {
  const pauses = forgetOld(nowMs, state);
  if (state.failures === 0 && pauses === state.pauses) return state;
  return { ...state, failures: 0, suspicions: new Map(), pauses };
}

function forgetOld(nowMs: number, state: MembershipState): MembershipState['pauses'] {
  const isOld = ({ isOver, untilMs }: Pause) => isOver && nowMs - untilMs > FORGET_PAUSES_MS;
  const kept = [...state.pauses].filter(([, pause]) => !isOld(pause));
  return kept.length === state.pauses.size ? state.pauses : new Map(kept);
}

/** Who comes back under another id is still the same worker. */
export function inheritPauses(state: MembershipState, workerId: string, formerId: string | undefined): MembershipState {
  const pause = formerId === undefined ? undefined : state.pauses.get(formerId);
  return pause ? withPause(state, workerId, { ...pause, isOver: true }) : state;
}

const withPause = (state: MembershipState, workerId: string, pause: Pause): MembershipState => ({
  ...state,
  pauses: new Map(state.pauses).set(workerId, pause),
});
