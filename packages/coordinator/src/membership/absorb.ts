/** What has happened enters the state: every event, before the rules look at it. */
import { type Draft, remove } from './draft.js';
import { inheritPauses, trustAgain } from './ring-rules.js';
import { isMember, NOBODY, withWorker } from './state.js';
import type {
  Candidate,
  FormerMember,
  MembershipEvent,
  MembershipOptions,
  MembershipState,
  WorkerRecord,
} from './types.js';
import { nameOf } from './wording.js';

/** The grace grows to 2^5 of its length, no further. */
const MAX_DOUBLINGS = 5;

/** A torn ledger may have lost a few views, never this many; a larger number is no reason to skip so many generations. */
const MAX_LOST_GENERATIONS = 1024;

export function absorb(nowMs: number, draft: Draft, event: MembershipEvent, options: MembershipOptions): Draft {
  const { state } = draft;
  switch (event.type) {
    case 'joined':
      return join(nowMs, draft, event);
    case 'left':
      return remove(draft, event.workerId, `${nameOf(state, event.workerId)} left: ${event.reason}`);
    case 'lost':
      return remove(draft, event.workerId, `${nameOf(state, event.workerId)} was lost: ${event.reason}`);
    case 'stopping':
      return {
        ...draft,
        state: { ...state, stopping: true, joinDeadlineMs: undefined, awaited: NOBODY },
        notes: ['the run is ending'],
      };
    case 'rebalance':
      return rebalance(draft, event.grains, event.reason);
    case 'resuming':
      return resume(nowMs, draft, options);
    case 'tick':
      return draft;
    default:
      return absorbFrom(nowMs, draft, event, options);
  }
}

function join(nowMs: number, draft: Draft, event: Extract<MembershipEvent, { type: 'joined' }>): Draft {
  const { workerId, name, returns } = event;
  const order = draft.state.joined + 1;
  const worker = { workerId, name, returns, order, heardMs: nowMs, phase: 'joining', candidate: undefined };
  const state = { ...withWorker(draft.state, worker), joined: order };
  const note = returns ? `${returns.workerId} (${name}) came back as ${workerId}` : `${workerId} (${name}) joined`;
  const known = inheritPauses(state, workerId, returns?.workerId);
  return { ...draft, state: passGeneration(known, returns), notes: [note] };
}

/** A view that a worker acts on, and that the ledger has lost, must not be used a second time. */
function passGeneration(state: MembershipState, returns: FormerMember | undefined): MembershipState {
  const lost = (returns?.generation ?? 0) - state.generation;
  return lost > 0 && lost <= MAX_LOST_GENERATIONS ? { ...state, generation: state.generation + lost } : state;
}

/** Shares are counted so finely once they follow speed; a worker that nobody has measured has this many for each thread. */
const MEASURED_UNIT = 1000;
const MAX_SHARE = 1_000_000;

/** Shares in proportion to the grains, an average thread having MEASURED_UNIT, so that newcomers fit in. */
function rebalance(draft: Draft, grains: ReadonlyMap<string, number>, reason: string): Draft {
  const { state } = draft;
  if (state.members.length === 0 || state.stopping) return draft;
  const total = [...grains.values()].reduce((sum, count) => sum + count, 0);
  const threads = state.members.reduce((sum, id) => sum + (state.workers.get(id)?.candidate?.workers ?? 0), 0);
  const shareOf = (id: string, { share }: Candidate): number => {
    const count = grains.get(id);
    const wanted =
      count === undefined ? (share * MEASURED_UNIT) / state.shareUnit : (count * MEASURED_UNIT * threads) / total;
    return Math.min(MAX_SHARE, Math.max(1, Math.round(wanted)));
  };
  const workers = new Map(
    [...state.workers].map(([id, worker]) => {
      const { candidate } = worker;
      return [id, candidate ? { ...worker, candidate: { ...candidate, share: shareOf(id, candidate) } } : worker];
    }),
  );
  return { ...draft, state: { ...state, workers, shareUnit: MEASURED_UNIT }, causes: [...draft.causes, reason] };
}

/** Whoever became ready meanwhile enters through a join window like everybody else. */
function resume(nowMs: number, draft: Draft, { joinWindowMs }: MembershipOptions): Draft {
  const joinDeadlineMs = nowMs + joinWindowMs;
  return { ...draft, state: { ...draft.state, stopping: false, joinDeadlineMs }, notes: ['the run goes on'] };
}

type SpokenEvent = Extract<MembershipEvent, { type: 'ready' | 'heartbeat' | 'ring-failed' | 'step-reported' }>;

/** Whatever a worker says also proves that it is alive; what an already removed one says is late and means nothing. */
function absorbFrom(nowMs: number, draft: Draft, event: SpokenEvent, options: MembershipOptions): Draft {
  const worker = draft.state.workers.get(event.workerId);
  if (!worker) return draft;
  const heard = { ...worker, heardMs: nowMs };
  const state = withWorker(draft.state, heard);
  switch (event.type) {
    case 'ready':
      return makeCandidate(nowMs, { ...draft, state }, heard, event, options);
    case 'heartbeat':
      return { ...draft, state: withWorker(state, { ...heard, phase: event.phase ?? heard.phase }) };
    case 'step-reported':
      return { ...draft, state: event.generation === state.generation ? trustAgain(nowMs, state) : state };
    case 'ring-failed':
      return noteFailure(nowMs, { ...draft, state }, event, options);
  }
}

function makeCandidate(
  nowMs: number,
  draft: Draft,
  worker: WorkerRecord,
  event: Extract<MembershipEvent, { type: 'ready' }>,
  options: MembershipOptions,
): Draft {
  const { endpoint, linkKey, workers = 1 } = event;
  const share = event.share * draft.state.shareUnit;
  const candidate = { endpoint, linkKey, share, workers, late: draft.state.stopping };
  const state = welcomeBack(nowMs, withWorker(draft.state, { ...worker, candidate }), worker);
  const joinDeadlineMs = state.stopping ? undefined : (state.joinDeadlineMs ?? nowMs + options.joinWindowMs);
  return { ...draft, state: { ...state, joinDeadlineMs }, notes: [`${nameOf(state, worker.workerId)} is ready`] };
}

/** Training has begun where this worker comes from; with the last one of them the window closes at once. */
function welcomeBack(nowMs: number, state: MembershipState, { returns }: WorkerRecord): MembershipState {
  if (!returns) return state;
  const awaited = new Set(state.awaited);
  const wasLast = awaited.delete(returns.workerId) && awaited.size === 0;
  return { ...state, begun: true, awaited, joinDeadlineMs: wasLast ? nowMs : state.joinDeadlineMs };
}

function noteFailure(
  nowMs: number,
  draft: Draft,
  event: Extract<MembershipEvent, { type: 'ring-failed' }>,
  options: MembershipOptions,
): Draft {
  const { state } = draft;
  const current = event.generation === state.generation && isMember(state, event.workerId);
  if (!current) return { ...draft, notes: [`${event.workerId} reports a failure of the old view ${event.generation}`] };
  const reports = new Map(state.ringFailure?.reports).set(event.workerId, event.suspect);
  const graceMs = options.ringGraceMs * 2 ** Math.min(state.failures, MAX_DOUBLINGS);
  const deadlineMs = state.ringFailure?.deadlineMs ?? nowMs + graceMs;
  const notes = [`${nameOf(state, event.workerId)} reports a broken ring at step ${event.step}`];
  return { ...draft, state: { ...state, ringFailure: { deadlineMs, step: event.step, reports } }, notes };
}
