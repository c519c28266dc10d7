/**
 * Membership: who is in the ring. A pure decision, (now, state, event) → (state, decisions, reason); the server around it
 * only feeds events in and carries decisions out, so an hour of heartbeats passes in a microsecond in its tests.
 *
 * The rules:
 * - A worker is a *candidate* once it is ready. Candidates are batched for `joinWindowMs`, then taken into the next view.
 * - After the death of an earlier coordinator the first window is longer: it stays open until all members of the last view
 *   are back, for `returnWindowMs` at most. They train on meanwhile, and one view then takes them all.
 * - The first view waits for `minWorkers` candidates, later ones for `floorWorkers`. Below that: no view; wait and say so.
 * - A member that is lost, leaves or is silent for `heartbeatTimeoutMs`: a new view at once.
 * - A broken ring without a lost member: wait `ringGraceMs` (the loss may be about to be noticed), or until every member
 *   has reported (then nobody is dead), and form the view again. Each further failure without a completed step between
 *   doubles the grace, so that a ring that cannot work does not spin; the same suspect `expelAfterFailures` times in a
 *   row is expelled.
 * - Ring order is the order of joining, never of arrival of messages. Generations only grow.
 */
import { type Endpoint, type ErrorCode, LIMITS, type Member, type View } from '@coord/protocol';

export interface MembershipOptions {
  readonly runId: string;
  /** Candidates that the first view needs. */
  readonly minWorkers: number;
  /** Candidates that every later view needs. */
  readonly floorWorkers: number;
  readonly joinWindowMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly ringGraceMs: number;
  readonly expelAfterFailures: number;
  /** A fresh secret for the ring links of a view. */
  readonly createRingKey: () => string;
}

export interface Candidate {
  readonly endpoint: Endpoint;
  readonly share: number;
  /** Compute threads of the host. */
  readonly workers: number;
  /** It became ready when the run was ending already: it counts only if the run goes on after all. */
  readonly late: boolean;
}

/** What a worker was before it lost its coordinator. */
export interface FormerMember {
  readonly workerId: string;
  /** Of the last view that it heard of. */
  readonly generation: number;
}

export interface WorkerRecord {
  readonly workerId: string;
  readonly name: string;
  readonly returns: FormerMember | undefined;
  /** Place in the order of joining: decides the ring order. */
  readonly order: number;
  readonly heardMs: number;
  /** What its last heartbeat said it was doing. */
  readonly phase: string;
  /** Undefined until the worker is ready. */
  readonly candidate: Candidate | undefined;
}

/** The grace grows to 2^5 of its length, no further. */
const MAX_DOUBLINGS = 5;

/** A torn ledger may have lost a few views, never this many; a larger number is no reason to skip so many generations. */
const MAX_LOST_GENERATIONS = 1024;

/** Workers that a reason names one by one. */
const MAX_NAMES = 8;

interface RingFailure {
  readonly deadlineMs: number;
  readonly step: number;
  /** Reporter → whom it suspects, where it knows. */
  readonly reports: ReadonlyMap<string, string | undefined>;
}

export interface MembershipState {
  readonly generation: number;
  /** True once a view has been formed since this start, or a worker has come back from one before it. */
  readonly begun: boolean;
  /** Members of the last view before this start that may come back; empty once their window is closed. */
  readonly awaited: ReadonlySet<string>;
  /** Worker ids of the view in force, in ring order; empty when there is none. */
  readonly members: readonly string[];
  readonly workers: ReadonlyMap<string, WorkerRecord>;
  readonly joined: number;
  readonly joinDeadlineMs: number | undefined;
  readonly ringFailure: RingFailure | undefined;
  /** Failures in a row, without a completed step between; and how often each worker was the one suspect of them. */
  readonly failures: number;
  readonly suspicions: ReadonlyMap<string, number>;
  /** When the clock was last seen: a gap means that this process itself was stopped. */
  readonly seenMs: number;
  /** Candidates present when a `wait` was last said; undefined while there is a view. */
  readonly waitingWith: number | undefined;
  /** Share of a thread that nobody has measured. */
  readonly shareUnit: number;
  /** The run is ending: nobody new is taken in, and any number of survivors may end it. */
  readonly stopping: boolean;
}

export type MembershipEvent =
  | { readonly type: 'joined'; readonly workerId: string; readonly name: string; readonly returns?: FormerMember }
  | {
      readonly type: 'ready';
      readonly workerId: string;
      readonly endpoint: Endpoint;
      readonly share: number;
      readonly workers?: number;
    }
  | { readonly type: 'left'; readonly workerId: string; readonly reason: string }
  | { readonly type: 'lost'; readonly workerId: string; readonly reason: string }
  | { readonly type: 'heartbeat'; readonly workerId: string; readonly phase?: string }
  | {
      readonly type: 'ring-failed';
      readonly workerId: string;
      readonly generation: number;
      readonly step: number;
      readonly suspect?: string;
    }
  | { readonly type: 'step-reported'; readonly workerId: string; readonly generation: number }
  /** Another division of the grains (of a full step, by worker) is better than the one in force. */
  | { readonly type: 'rebalance'; readonly grains: ReadonlyMap<string, number>; readonly reason: string }
  | { readonly type: 'stopping' }
  /** The end did not come about: everybody that could have ended the run is gone. */
  | { readonly type: 'resuming' }
  | { readonly type: 'tick' };

export type MembershipDecision =
  | { readonly type: 'form-view'; readonly view: View }
  | { readonly type: 'expel'; readonly workerId: string; readonly code: ErrorCode; readonly reason: string }
  | { readonly type: 'wait'; readonly present: number; readonly needed: number; readonly reason: string };

export interface MembershipOutcome {
  readonly state: MembershipState;
  readonly decisions: readonly MembershipDecision[];
  /** Why this was decided, for log and ledger; empty where nothing happened. */
  readonly reason: string;
}

/** What an earlier start of the run has left. */
export interface MembershipPast {
  /** The highest generation that was used; 0 for a new run. */
  readonly generation: number;
  readonly joined: number;
  /** Members of its last view that may still be training. */
  readonly awaited: readonly string[];
}

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
  seenMs: nowMs,
  waitingWith: undefined,
  shareUnit: 1,
  stopping: false,
});

const NOBODY: ReadonlySet<string> = new Set();

/** The window for the members of the last view before this start is open. */
export const isAwaitingReturns = ({ awaited }: MembershipState): boolean => awaited.size > 0;

/** A state on its way through the rules, with what they have decided so far. */
interface Draft {
  readonly state: MembershipState;
  readonly expelled: readonly MembershipDecision[];
  /** Why a new view is needed at once; several causes make one view. */
  readonly causes: readonly string[];
  readonly notes: readonly string[];
}

type Rule = (nowMs: number, draft: Draft, options: MembershipOptions) => Draft;

const RULES: readonly Rule[] = [dropSilent, judgeRing, closeJoinWindow];

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
  return Math.min(regular, state.joinDeadlineMs ?? regular, state.ringFailure?.deadlineMs ?? regular);
}

export const candidatesOf = ({ workers, stopping }: MembershipState): WorkerRecord[] =>
  [...workers.values()]
    .filter(({ candidate }) => candidate !== undefined && !(stopping && candidate.late))
    .sort((a, b) => a.order - b.order);

/** A host counts as many workers as it has compute threads. */
const workersReady = (state: MembershipState): number =>
  candidatesOf(state).reduce((sum, { candidate }) => sum + candidate!.workers, 0);

function neededOf(state: MembershipState, { minWorkers, floorWorkers }: MembershipOptions): number {
  if (state.stopping) return 1;
  return Math.max(1, state.begun ? floorWorkers : minWorkers);
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

const isMember = (state: MembershipState, workerId: string): boolean => state.members.includes(workerId);

const nameOf = (state: MembershipState, workerId: string): string => {
  const worker = state.workers.get(workerId);
  return worker ? `${workerId} (${worker.name})` : workerId;
};

/** Names for a person to read: a thousand of them are no reason that anybody reads. */
function listOf(names: readonly string[]): string {
  const rest = names.length - MAX_NAMES;
  return rest > 0 ? `${names.slice(0, MAX_NAMES).join(', ')} and ${rest} more` : names.join(', ');
}

function withWorker(state: MembershipState, worker: WorkerRecord): MembershipState {
  return { ...state, workers: new Map(state.workers).set(worker.workerId, worker) };
}

/** Takes a worker out; a cause for a new view when it was in the ring, a note otherwise. */
function remove(draft: Draft, workerId: string, why: string): Draft {
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

function absorb(nowMs: number, draft: Draft, event: MembershipEvent, options: MembershipOptions): Draft {
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
  return { ...draft, state: passGeneration(state, returns), notes: [note] };
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
      return { ...draft, state: event.generation === state.generation ? trustAgain(state) : state };
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
  const { endpoint, workers = 1 } = event;
  const share = event.share * draft.state.shareUnit;
  const candidate = { endpoint, share, workers, late: draft.state.stopping };
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

/** A completed step proves that the ring of this view works. */
const trustAgain = (state: MembershipState): MembershipState =>
  state.failures === 0 ? state : { ...state, failures: 0, suspicions: new Map() };

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

function dropSilent(nowMs: number, draft: Draft, options: MembershipOptions): Draft {
  const silent = [...draft.state.workers.values()].filter((w) => nowMs - w.heardMs > options.heartbeatTimeoutMs);
  return silent.reduce((at, worker) => {
    const silentMs = Math.round(nowMs - worker.heardMs);
    const reason = `${nameOf(at.state, worker.workerId)} was silent for ${silentMs} ms; its last phase was ${worker.phase}`;
    return expel(at, worker.workerId, 'LINK_TIMEOUT', reason);
  }, draft);
}

function expel(draft: Draft, workerId: string, code: ErrorCode, reason: string): Draft {
  const removed = remove(draft, workerId, reason);
  return { ...removed, expelled: [...removed.expelled, { type: 'expel', workerId, code, reason }] };
}

/** After the grace, or when everybody has reported: count the failure, expel a worker that keeps causing it, try again. */
function judgeRing(nowMs: number, draft: Draft, options: MembershipOptions): Draft {
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

function closeJoinWindow(nowMs: number, draft: Draft): Draft {
  const { state } = draft;
  if (state.joinDeadlineMs === undefined || nowMs < state.joinDeadlineMs) return draft;
  const closed = { ...state, joinDeadlineMs: undefined, awaited: NOBODY };
  const fresh = candidatesOf(state).filter((worker) => !isMember(state, worker.workerId));
  if (fresh.length === 0) return { ...draft, state: closed };
  const ready = `${listOf(fresh.map((worker) => nameOf(state, worker.workerId)))} ${fresh.length === 1 ? 'is' : 'are'} ready`;
  return { ...draft, state: closed, causes: [...draft.causes, ready] };
}

/** One view for all causes together, or a wait, or nothing. */
function conclude(draft: Draft, options: MembershipOptions): MembershipOutcome {
  const { state, causes, expelled } = draft;
  const reason = causes.join('; ');
  const waiting = state.members.length === 0 && state.joinDeadlineMs === undefined;
  const enough = workersReady(state) >= neededOf(state, options);
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
  const members = candidatesOf(state).map(memberOf);
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
  const { endpoint, share, workers } = candidate!;
  return { workerId, name, endpoint, share, workers };
};

/** Says so once for every number of candidates: a reason is worth a line only when it changes. */
function wait(
  state: MembershipState,
  expelled: readonly MembershipDecision[],
  reason: string,
  notes: readonly string[],
  options: MembershipOptions,
): MembershipOutcome {
  const present = workersReady(state);
  const needed = neededOf(state, options);
  const next = { ...state, members: [], ringFailure: undefined, waitingWith: present };
  if (state.waitingWith === present) return { state: next, decisions: expelled, reason: reason || notes.join('; ') };
  const text = `waiting for workers: ${present} of ${needed} are ready`;
  const why = reason === '' ? text : `${reason}; ${text}`;
  return { state: next, decisions: [...expelled, { type: 'wait', present, needed, reason: why }], reason: why };
}
