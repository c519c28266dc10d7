/** How a worker goes: it is asked to, leaves by itself, is lost, or is sent away; and what follows for the others. */
import { type Clock, CoordError, type ErrorCode, LIMITS, toErrorRecord } from '@coord/protocol';
import { labelOf, type TokenRecord } from './access/token-record.js';
import type { Chronicle } from './chronicle.js';
import type { Progress } from './progress.js';
import type { Roster } from './roster.js';
import { lastWorkerError } from './run-errors.js';
import type { RunStage } from './run-stage.js';
import type { WorkerSession } from './worker-session.js';

export interface DepartureParts {
  readonly clock: Clock;
  readonly stage: RunStage;
  readonly roster: Roster;
  readonly progress: Progress;
  readonly chronicle: Chronicle;
  /** The membership rules have heard of it. @param last what made the worker go. */
  onGone(last: string): void;
}

export class Departures {
  /** Asked to leave; whoever is still there does so with the step in progress. */
  private readonly leaving = new WeakSet<WorkerSession>();

  constructor(private readonly parts: DepartureParts) {}

  /**
   * Asks a worker to leave after the step in progress.
   *
   * @param who its id, or its name where only one has it.
   * @returns its label; undefined when nobody is called so.
   * @throws CoordError USAGE when it is the last one that stays: its state would be lost.
   */
  drain(who: string): string | undefined {
    const { roster, chronicle } = this.parts;
    const named = roster.all.filter(({ hello }) => hello.name === who);
    const session = roster.get(who) ?? (named.length === 1 ? named[0] : undefined);
    if (!session) return undefined;
    const others = roster.participants().filter((other) => other !== session && !this.leaving.has(other));
    if (others.length === 0) throw lastWorkerError(session.label);
    this.leaving.add(session);
    chronicle.log.info({ workerId: session.workerId }, 'drained');
    session.tell({ type: 'drain', reason: 'drained by an operator' });
    return session.label;
  }

  /** Sends away everybody who joined with this token. @returns how many there were. */
  disconnect(token: TokenRecord): number {
    const sessions = this.parts.roster.all.filter(({ tokenId }) => tokenId === token.id);
    for (const session of sessions) {
      const message = `the token ${labelOf(token)} that ${session.label} joined with was revoked`;
      this.dismiss(session, new CoordError('TOKEN_WRONG', message, { facts: { workerId: session.workerId } }));
    }
    return sessions.length;
  }

  /** The link ended, or what came over it broke a rule. */
  dismiss(session: WorkerSession, error: unknown): void {
    const { code, message } = toErrorRecord(error);
    if (code === 'LINK_CLOSED') {
      this.remove(session, false, message);
      void session.close(message);
      return;
    }
    this.parts.chronicle.warnOf(error);
    session.tell({ type: 'expelled', code, message: message.slice(0, LIMITS.textLength) });
    this.remove(session, false, message);
    void session.close(`expelled: ${code}`);
  }

  /** The membership rules have taken the worker out already. */
  expel(workerId: string, code: ErrorCode, reason: string): void {
    const session = this.parts.roster.get(workerId);
    if (session) this.dismiss(session, new CoordError(code, reason, { facts: { workerId } }));
  }

  /** @param left by itself, and not for a fault. */
  remove(session: WorkerSession, left: boolean, reason: string): void {
    const { clock, stage, roster, progress, chronicle } = this.parts;
    if (!roster.delete(session) || stage.phase === 'ended') return;
    const isMember = stage.view?.members.some(({ workerId }) => workerId === session.workerId);
    if (isMember) progress.recoveries.noticed(clock.nowMs(), left ? null : this.unheardMs(session));
    chronicle.gone(session, left, reason);
    roster.apply({ type: left ? 'left' : 'lost', workerId: session.workerId, reason });
    this.parts.onGone(`${session.label}: ${reason}`);
  }

  private unheardMs({ workerId, heardMs }: WorkerSession): number {
    const { workers } = this.parts.roster.membership;
    return Math.round(this.parts.clock.nowMs() - (workers.get(workerId)?.heardMs ?? heardMs));
  }
}
