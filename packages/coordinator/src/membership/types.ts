/** What the membership rules work on: options, workers, state, events and decisions. */
import type { ErrorCode, PeerEndpoint, View } from '@coord/protocol';

export interface MembershipOptions {
  readonly runId: string;
  /** Candidates that the first view needs. */
  readonly minWorkers: number;
  /** Candidates that every later view needs. */
  readonly floorWorkers: number;
  /** Workers that a view may have; who is beyond waits as a spare. Undefined: any number. */
  readonly maxWorkers?: number;
  readonly joinWindowMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly ringGraceMs: number;
  /** Failures in a row with one suspect after which it pauses. */
  readonly pauseAfterFailures: number;
  /** The first pause of a worker; doubled with each further one. */
  readonly pauseMs: number;
  /** Pauses after which a worker that breaks the ring once more is expelled. */
  readonly maxPauses: number;
  /** A fresh secret for the ring links of a view. */
  readonly createRingKey: () => string;
}

export interface Candidate {
  readonly endpoint: PeerEndpoint;
  readonly linkKey: string | undefined;
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

export interface RingFailure {
  readonly deadlineMs: number;
  readonly step: number;
  /** Reporter → whom it suspects, where it knows. */
  readonly reports: ReadonlyMap<string, string | undefined>;
}

/** A worker that seems to break every ring is left out for a while: its network may heal, and it may be innocent. */
export interface Pause {
  /** How many there were, this one included. */
  readonly count: number;
  readonly untilMs: number;
  readonly isOver: boolean;
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
  /** By worker id; forgotten when a worker has long been good. */
  readonly pauses: ReadonlyMap<string, Pause>;
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
      readonly endpoint: PeerEndpoint;
      readonly linkKey?: string | undefined;
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
