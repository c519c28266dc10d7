/** A membership state on its way through the rules, with what they have decided so far. */
import type { ErrorCode } from '@coord/protocol';
import { isMember } from './state.js';
import type { MembershipDecision, MembershipOptions, MembershipState } from './types.js';

export interface Draft {
  readonly state: MembershipState;
  readonly expelled: readonly MembershipDecision[];
  /** Why a new view is needed at once; several causes make one view. */
  readonly causes: readonly string[];
  readonly notes: readonly string[];
}

export type Rule = (nowMs: number, draft: Draft, options: MembershipOptions) => Draft;

/** Takes a worker out; a cause for a new view when it was in the ring, a note otherwise. */
export function remove(draft: Draft, workerId: string, why: string): Draft {
  const { state } = draft;
  const workers = new Map(state.workers);
  if (!workers.delete(workerId)) return draft;
  const suspicions = new Map(state.suspicions);
  suspicions.delete(workerId);
  const rest = { ...draft, state: { ...state, workers, suspicions } };
  return isMember(state, workerId)
    ? { ...rest, causes: [...draft.causes, why] }
    : { ...rest, notes: [...draft.notes, why] };
}

export function expel(draft: Draft, workerId: string, code: ErrorCode, reason: string): Draft {
  const removed = remove(draft, workerId, reason);
  return { ...removed, expelled: [...removed.expelled, { type: 'expel', workerId, code, reason }] };
}
