/** What all causes together come to: one view, or a wait, or nothing. */
import { LIMITS, type Member, type View } from '@coord/protocol';
import type { Draft } from './draft.js';
import { neededOf, seatedOf, workersReady } from './state.js';
import type {
  MembershipDecision,
  MembershipOptions,
  MembershipOutcome,
  MembershipState,
  WorkerRecord,
} from './types.js';

export function conclude(draft: Draft, options: MembershipOptions): MembershipOutcome {
  const { state, causes, expelled } = draft;
  const reason = causes.join('; ');
  const waiting = state.members.length === 0 && state.joinDeadlineMs === undefined;
  const enough = workersReady(state, options) >= neededOf(state, options);
  if (enough && (causes.length > 0 || (waiting && state.waitingWith !== undefined))) {
    return formView(state, expelled, reason || 'enough workers are ready', options);
  }
  if (!enough && (causes.length > 0 || waiting)) return wait(state, expelled, reason, draft.notes, options);
  return { state, decisions: expelled, reason: draft.notes.join('; ') };
}

function formView(
  state: MembershipState,
  expelled: readonly MembershipDecision[],
  reason: string,
  options: MembershipOptions,
): MembershipOutcome {
  const members = seatedOf(state, options).map(memberOf);
  const generation = state.generation + 1;
  const ringKey = options.createRingKey();
  const view: View = { runId: options.runId, generation, members, ringKey, reason: reason.slice(0, LIMITS.textLength) };
  const next: MembershipState = {
    ...state,
    generation,
    begun: true,
    members: members.map((member) => member.workerId),
    joinDeadlineMs: undefined,
    ringFailure: undefined,
    waitingWith: undefined,
  };
  return { state: next, decisions: [...expelled, { type: 'form-view', view }], reason };
}

const memberOf = ({ workerId, name, candidate }: WorkerRecord): Member => {
  const { endpoint, linkKey, share, workers } = candidate!;
  return { workerId, name, endpoint, linkKey, share, workers };
};

/** Says so once for every number of candidates: a reason is worth a line only when it changes. */
function wait(
  state: MembershipState,
  expelled: readonly MembershipDecision[],
  reason: string,
  notes: readonly string[],
  options: MembershipOptions,
): MembershipOutcome {
  const present = workersReady(state, options);
  const needed = neededOf(state, options);
  const next = { ...state, members: [], ringFailure: undefined, waitingWith: present };
  if (state.waitingWith === present) return { state: next, decisions: expelled, reason: reason || notes.join('; ') };
  const text = `waiting for workers: ${present} of ${needed} are ready`;
  const why = reason === '' ? text : `${reason}; ${text}`;
  return { state: next, decisions: [...expelled, { type: 'wait', present, needed, reason: why }], reason: why };
}
