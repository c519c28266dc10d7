/**
 * Membership: who is in the ring. A pure decision, (now, state, event) → (state, decisions, reason); the server around it
 * only feeds events in and carries decisions out, so an hour of heartbeats passes in a microsecond in its tests.
 *
 * The rules:
 * - A worker is a *candidate* once it is ready. Candidates are batched for `joinWindowMs`, then taken into the next view.
 * - After the death of an earlier coordinator the first window is longer: it stays open until all members of the last view
 *   are back, for `returnWindowMs` at most. They train on meanwhile, and one view then takes them all.
 * - The first view waits for `minWorkers` candidates, later ones for `floorWorkers`. Below that: no view; wait and say so.
 * - Above `maxWorkers` nobody is taken: who comes then is a spare, and takes the place of a member that goes.
 * - A member that is lost, leaves or is silent for `heartbeatTimeoutMs`: a new view at once.
 * - A broken ring without a lost member: wait `ringGraceMs` (the loss may be about to be noticed), or until every member
 *   has reported (then nobody is dead), and form the view again. Each further failure without a completed step between
 *   doubles the grace, so that a ring that cannot work does not spin; the same suspect `pauseAfterFailures` times in a
 *   row pauses: the others form a view without it. It comes back after `pauseMs`, then twice that, and so on, and is expelled
 *   when it breaks the ring again after `maxPauses` of them.
 * - Ring order is the order of joining, never of arrival of messages. Generations only grow.
 */
import { absorb } from './absorb.js';
import { conclude } from './conclude.js';
import type { Draft, Rule } from './draft.js';
import { endPauses, judgeRing } from './ring-rules.js';
import { closeJoinWindow, dropSilent } from './rules.js';
import type { MembershipEvent, MembershipOptions, MembershipOutcome, MembershipState } from './types.js';

const RULES: readonly Rule[] = [dropSilent, judgeRing, endPauses, closeJoinWindow];

export function decideMembership(
  nowMs: number,
  state: MembershipState,
  event: MembershipEvent,
  options: MembershipOptions,
): MembershipOutcome {
  const awake = forgiveOwnPause(nowMs, state, options);
  const start: Draft = { state: awake, expelled: [], causes: [], notes: [] };
  const draft = RULES.reduce((at, rule) => rule(nowMs, at, options), absorb(nowMs, start, event, options));
  return conclude(draft, options);
}

/** When the next `tick` is due, at the latest. */
export function nextTickMs(state: MembershipState, options: MembershipOptions): number {
  const regular = state.seenMs + options.heartbeatTimeoutMs / 4;
  const pauses = [...state.pauses.values()].filter(({ isOver }) => !isOver).map(({ untilMs }) => untilMs);
  return Math.min(regular, state.joinDeadlineMs ?? regular, state.ringFailure?.deadlineMs ?? regular, ...pauses);
}
/**
 * Silence counts only while this process was itself awake: after a suspended laptop or a long stop everybody has been
 * unheard for as long, and nobody is at fault.
 */
function forgiveOwnPause(nowMs: number, state: MembershipState, options: MembershipOptions): MembershipState {
  const gapMs = nowMs - state.seenMs;
  if (gapMs <= options.heartbeatTimeoutMs / 2) return { ...state, seenMs: Math.max(nowMs, state.seenMs) };
  const workers = new Map(
    [...state.workers].map(([id, worker]) => [id, { ...worker, heardMs: worker.heardMs + gapMs }]),
  );
  return { ...state, workers, seenMs: nowMs };
}
