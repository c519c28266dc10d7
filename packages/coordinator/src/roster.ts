/** Roster: the workers that are connected, and what the membership rules say about them. */
import { type Clock, createNonce } from '@coord/protocol';
import { type MembershipActions, MembershipRunner } from './membership/runner.js';
import { candidatesOf, isAwaitingReturns } from './membership/state.js';
import type { MembershipEvent, MembershipState } from './membership/types.js';
import type { Timings } from './options.js';
import type { RunPast } from './past.js';
import type { WorkerSession } from './worker-session.js';

/** Three pauses, of 5, 10 and 20 s: what a network does to a worker is over by then. */
const PAUSES = { pauseAfterFailures: 3, pauseMs: 5000, maxPauses: 3 };

export interface RosterOptions {
  readonly clock: Clock;
  readonly runId: string;
  readonly minWorkers: number;
  readonly floorWorkers: number;
  readonly maxWorkers: number | undefined;
  readonly timings: Timings;
  readonly past: RunPast;
}

export class Roster {
  private readonly sessions = new Map<string, WorkerSession>();
  private readonly runner: MembershipRunner;

  constructor(
    { clock, runId, minWorkers, floorWorkers, maxWorkers, timings, past }: RosterOptions,
    actions: MembershipActions,
  ) {
    const { joinWindowMs, heartbeatTimeoutMs, ringGraceMs } = timings;
    const rules = { runId, minWorkers, floorWorkers, maxWorkers, joinWindowMs, heartbeatTimeoutMs, ringGraceMs };
    const options = { ...rules, ...PAUSES, createRingKey: createNonce };
    const { generation, joined } = past;
    const awaited = past.awaited.map(({ workerId }) => workerId);
    this.runner = new MembershipRunner(
      clock,
      options,
      actions,
      { generation, joined, awaited },
      timings.returnWindowMs,
    );
  }

  get membership(): MembershipState {
    return this.runner.state;
  }

  get all(): readonly WorkerSession[] {
    return [...this.sessions.values()];
  }

  get size(): number {
    return this.sessions.size;
  }

  /** Members of the last view before this start may still come back; until then nothing is final. */
  get isAwaitingReturns(): boolean {
    return isAwaitingReturns(this.membership);
  }

  /** Id of the next worker that joins; never used twice in a run. */
  get nextWorkerId(): string {
    return `w${this.membership.joined + 1}`;
  }

  get(workerId: string): WorkerSession | undefined {
    return this.sessions.get(workerId);
  }

  has(session: WorkerSession): boolean {
    return this.sessions.get(session.workerId) === session;
  }

  add(session: WorkerSession): void {
    this.sessions.set(session.workerId, session);
    const { workerId, hello, returns } = session;
    this.apply({ type: 'joined', workerId, name: hello.name, returns });
  }

  /** False when it had been removed before. The rules hear of it separately, as `left` or `lost`. */
  delete(session: WorkerSession): boolean {
    return this.has(session) && this.sessions.delete(session.workerId);
  }

  apply(event: MembershipEvent): void {
    this.runner.apply(event);
  }

  /** Ready workers, in the order of joining. */
  candidates(): WorkerSession[] {
    return this.named(candidatesOf(this.membership).map(({ workerId }) => workerId));
  }

  /** Workers of the view in force, lowest rank first; while there is none, those that wait for one. */
  participants(): WorkerSession[] {
    const { members } = this.membership;
    return members.length > 0 ? this.named(members) : this.candidates();
  }

  named(workerIds: readonly string[]): WorkerSession[] {
    return workerIds.flatMap((workerId) => this.sessions.get(workerId) ?? []);
  }

  /** No further decisions. */
  close(): void {
    this.runner.close();
  }
}
