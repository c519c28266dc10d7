/** How workers are called in reasons. */
import type { MembershipState } from './types.js';

/** Workers that a reason names one by one. */
const MAX_NAMES = 8;

export const nameOf = (state: MembershipState, workerId: string): string => {
  const worker = state.workers.get(workerId);
  return worker ? `${workerId} (${worker.name})` : workerId;
};

/** Names for a person to read: a thousand of them are no reason that anybody reads. */
export function listOf(names: readonly string[]): string {
  const rest = names.length - MAX_NAMES;
  return rest > 0 ? `${names.slice(0, MAX_NAMES).join(', ')} and ${rest} more` : names.join(', ');
}
