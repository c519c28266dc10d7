/** Questions to a membership state, and the small changes that every rule makes. */
import type { MembershipOptions, MembershipPast, MembershipState, WorkerRecord } from './types.js';

const NO_PAST: MembershipPast = { generation: 0, joined: 0, awaited: [] };

export const initialMembership = (
  nowMs: number,
  { generation, joined, awaited } = NO_PAST,
  returnWindowMs = 0,
): MembershipState => ({
  generation,
  begun: false,
  awaited: new Set(awaited),
  members: [],
  workers: new Map(),
  joined,
  joinDeadlineMs: awaited.length > 0 ? nowMs + returnWindowMs : undefined,
  ringFailure: undefined,
  failures: 0,
  suspicions: new Map(),
  pauses: new Map(),
  seenMs: nowMs,
  waitingWith: undefined,
  shareUnit: 1,
  stopping: false,
});

export const NOBODY: ReadonlySet<string> = new Set();

/** The window for the members of the last view before this start is open. */
export const isAwaitingReturns = ({ awaited }: MembershipState): boolean => awaited.size > 0;

const isPausing = ({ pauses }: MembershipState, workerId: string): boolean => pauses.get(workerId)?.isOver === false;

export const candidatesOf = (state: MembershipState): WorkerRecord[] =>
  [...state.workers.values()]
    .filter(({ candidate }) => candidate !== undefined && !(state.stopping && candidate.late))
    .filter(({ workerId }) => !isPausing(state, workerId))
    .sort((a, b) => a.order - b.order);

/**
 * Candidates that the next view takes, in the order of joining. Members keep their places; of the others the first come first.
 * A host whose threads are too many for what is left is passed over.
 */
export function seatedOf(
  state: MembershipState,
  { maxWorkers = Number.POSITIVE_INFINITY }: MembershipOptions,
): WorkerRecord[] {
  const all = candidatesOf(state);
  const [members, others] = [true, false].map((inside) =>
    all.filter((one) => isMember(state, one.workerId) === inside),
  );
  let room = maxWorkers;
  const seated = [...members, ...others].filter(({ candidate }) => {
    const fits = candidate!.workers <= room;
    if (fits) room -= candidate!.workers;
    return fits;
  });
  return seated.sort((a, b) => a.order - b.order);
}

/** A host counts as many workers as it has compute threads. */
export const workersReady = (state: MembershipState, options: MembershipOptions): number =>
  seatedOf(state, options).reduce((sum, { candidate }) => sum + candidate!.workers, 0);

export function neededOf(state: MembershipState, { minWorkers, floorWorkers }: MembershipOptions): number {
  if (state.stopping) return 1;
  return Math.max(1, state.begun ? floorWorkers : minWorkers);
}

export const isMember = (state: MembershipState, workerId: string): boolean => state.members.includes(workerId);

export function withWorker(state: MembershipState, worker: WorkerRecord): MembershipState {
  return { ...state, workers: new Map(state.workers).set(worker.workerId, worker) };
}
