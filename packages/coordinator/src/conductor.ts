/**
 * Conductor: leads one run from the first worker to the last goodbye. It reads what workers say, lets the membership rules
 * and the step book decide, and carries their decisions out. It never touches a gradient.
 */
import {
  type Clock,
  CoordError,
  ERROR_RULES,
  type ErrorCode,
  EXIT_CODE,
  type Hello,
  isCoordError,
  LIMITS,
  systemClock,
  toErrorRecord,
  type View,
  type WorkerMessage,
  type WorkerMessageOf,
} from '@coord/protocol';
import type { Link } from '@coord/transport';
import { Checkpointer } from './checkpointer.js';
import type { Chronicle } from './chronicle.js';
import type { RunResult } from './events.js';
import { type Finished, judgeFinish } from './finish.js';
import type { Admission } from './handshake.js';
import type { Ledger } from './ledger.js';
import type { CoordinatorOptions, Timings } from './options.js';
import { Outcome } from './outcome.js';
import type { FormerWorker, RunPast } from './past.js';
import { Progress, type ProgressActions } from './progress.js';
import { Returns } from './returns.js';
import { Roster } from './roster.js';
import {
  closedError,
  endDisagreementError,
  endingError,
  fullError,
  lastCheckpointError,
  lastWorkerError,
  lostStepsError,
  workersLostError,
} from './run-errors.js';
import { epochsCompleted, isCheckpointDue, totalStepsOf } from './schedule.js';
import { ShareKeeper } from './share-keeper.js';
import { type HashedState, sendState } from './state-transfer.js';
import { StepBook } from './step-book.js';
import { unexpected } from './turn.js';
import { WorkerSession } from './worker-session.js';

/** `stopping`: told to end at the next step; `ending`: every worker has finished; `ended`: nothing more happens. */
export type RunPhase = 'waiting' | 'training' | 'stopping' | 'ending' | 'ended';

export interface ConductorOptions extends Omit<CoordinatorOptions, 'listen' | 'logger' | 'timings' | 'onEvent'> {
  readonly timings: Timings;
  readonly initial: HashedState;
  readonly past: RunPast;
  readonly ledger: Ledger;
  readonly chronicle: Chronicle;
  /** Writes a state to the run directory and returns the checkpoint's path. */
  readonly save: (state: HashedState['state']) => Promise<string>;
}

export class Conductor {
  readonly roster: Roster;
  readonly progress: Progress;
  readonly checkpointer: Checkpointer;
  phase: RunPhase = 'waiting';
  view: View | undefined;
  private readonly clock: Clock;
  private readonly chronicle: Chronicle;
  private readonly outcome: Outcome;
  private lastViewSize = 0;
  private stopReason = '';
  private readonly returns = new Returns();
  private readonly shares: ShareKeeper;

  constructor(private readonly options: ConductorOptions) {
    this.clock = options.clock ?? systemClock;
    this.chronicle = options.chronicle;
    this.shares = new ShareKeeper(this.clock, options.run.batch.grains, options.shares);
    this.outcome = new Outcome(() => this.flushLedger());
    this.checkpointer = this.createCheckpointer();
    this.progress = this.createProgress();
    this.roster = this.createRoster();
    if (!this.roster.isAwaitingReturns) this.returns.end([]);
  }

  /** Rejects with the CoordError that ended the run. */
  get finished(): Promise<RunResult> {
    return this.outcome.promise;
  }

  /** Workers of an earlier start that may come back. */
  get awaited(): readonly FormerWorker[] {
    return this.options.past.awaited;
  }

  /** Resolves, once nobody is awaited any longer, with those that came back. */
  get returned(): Promise<readonly FormerWorker[]> {
    return this.returns.promise;
  }

  /** Takes a worker that has proved that it knows the token; resolves when it is gone. */
  async serve(link: Link, { hello, proof }: Admission): Promise<void> {
    const { run } = this.options;
    this.releasePlace(hello);
    const workerId = this.roster.nextWorkerId;
    const session = new WorkerSession(workerId, hello, link, run.runId);
    this.roster.add(session);
    this.chronicle.joined(session);
    const { heartbeatIntervalMs, ringTimeoutMs } = this.options.timings;
    const { settledStep } = this;
    session.settledTold = settledStep;
    try {
      await session.send({ type: 'welcome', proof, workerId, run, heartbeatIntervalMs, ringTimeoutMs, settledStep });
      for (;;) {
        const message = await session.receive();
        // What an expelled worker said before it noticed means nothing any more.
        if (!this.roster.has(session) || this.phase === 'ended') return;
        this.handle(session, message);
      }
    } catch (error) {
      this.dismiss(session, error);
    }
  }

  /** Why a worker cannot join now; undefined when it can. */
  get refusal(): CoordError | undefined {
    const { phase } = this;
    if (phase !== 'waiting' && phase !== 'training') return endingError(this.options.run.runId, phase);
    return this.roster.size < LIMITS.members ? undefined : fullError();
  }

  /**
   * Asks a worker to leave after the step in progress.
   *
   * @param who its id, or its name where only one has it.
   * @returns its label; undefined when nobody is called so.
   * @throws CoordError USAGE when it is the last one: its state would be lost.
   */
  drain(who: string): string | undefined {
    const named = this.roster.all.filter(({ hello }) => hello.name === who);
    const session = this.roster.get(who) ?? (named.length === 1 ? named[0] : undefined);
    if (!session) return undefined;
    const others = this.roster.participants().filter((other) => other !== session);
    if (others.length === 0) throw lastWorkerError(session.label);
    this.chronicle.log.info({ workerId: session.workerId }, 'drained');
    session.tell({ type: 'drain', reason: 'drained by an operator' });
    return session.label;
  }

  requestStop(reason: string): void {
    if (this.phase !== 'waiting' && this.phase !== 'training') return;
    this.phase = 'stopping';
    this.stopReason = reason;
    this.chronicle.stopping(reason);
    this.roster.apply({ type: 'stopping' });
    this.tellStop();
    if (this.roster.candidates().length === 0) this.completeWithHeldState();
  }

  /** Ends everything at once; `finished` rejects unless it is settled. */
  async close(): Promise<void> {
    this.fail(closedError());
    await Promise.all(this.roster.all.map((session) => session.close('the coordinator is closing')));
  }

  /** Steps up to this one stand in the ledger: of this start, or of one before. */
  private get settledStep(): number {
    return Math.max(this.progress.book.step, this.options.past.lastStep);
  }

  /** A worker that lost its connection is back before the loss was noticed here: its old self goes first. */
  private releasePlace({ returns, name, hostName, pid }: Hello): void {
    const before = returns?.runId === this.options.run.runId ? this.roster.get(returns.workerId) : undefined;
    if (!before || before.hello.name !== name || before.hello.hostName !== hostName || before.hello.pid !== pid) return;
    this.dismiss(before, new CoordError('LINK_CLOSED', 'its connection was lost; it has come back with another'));
  }

  private createCheckpointer(): Checkpointer {
    return new Checkpointer(this.options.initial, {
      clock: this.clock,
      uploadTimeoutMs: this.options.timings.uploadTimeoutMs,
      sources: () => this.roster.participants().filter(({ stage }) => stage !== 'ready'),
      settledHash: (step) => this.progress.book.whenSettled(step),
      save: (state) => this.save(state),
      distrust: (session, error) => this.dismiss(session, error),
      onSaved: (saved) => this.chronicle.checkpoint(saved),
    });
  }

  /** The ledger first: a checkpoint of a step that is not on record could not be audited. */
  private async save(state: HashedState['state']): Promise<string> {
    await this.flushLedger();
    return this.options.save(state);
  }

  private createProgress(): Progress {
    const { run, initial, past } = this.options;
    const book = new StepBook(initial.header.step, past.settled);
    const actions: ProgressActions = {
      sessionOf: (workerId) => this.roster.get(workerId),
      isAnyoneAt: (step) => this.roster.all.some((session) => session.heldStep >= step),
      settled: (step) => this.onSettled(step),
      expel: (session, error) => this.dismiss(session, error),
      fail: (error) => this.fail(error),
    };
    return new Progress(run, this.clock, book, this.chronicle, actions, past.lastEvaluation);
  }

  private onSettled(step: number): void {
    if (this.progress.lastStep) this.shares.see(this.progress.lastStep);
    this.checkpointIfDue(step);
  }

  /** After the settling: a better division of the grains forms a view. */
  private rebalance(): void {
    if (this.phase !== 'training' || !this.view) return;
    const decision = this.shares.decide(this.view.members);
    if (decision) this.roster.apply({ type: 'rebalance', ...decision });
  }

  private createRoster(): Roster {
    const { run, minWorkers, floorWorkers = 1, timings, past } = this.options;
    const { clock } = this;
    return new Roster(
      { clock, runId: run.runId, minWorkers, floorWorkers, timings, past },
      {
        formView: (view) => this.formView(view),
        expel: (workerId, code, reason) => this.expelSilent(workerId, code, reason),
        wait: (present, needed, reason) => this.wait(present, needed, reason),
        returnsEnded: () => this.endReturns(),
        explain: (reason) => this.chronicle.log.info({ reason }, 'membership'),
      },
    );
  }

  private settleSteps(): void {
    // Who is still to come may have to tell of earlier steps than those that are here.
    if (this.roster.isAwaitingReturns) return;
    this.progress.settle(this.roster.participants().map(({ workerId }) => workerId));
    this.rebalance();
  }

  // ── what workers say ──────────────────────────────────────────────────────────────────────────────────────────────

  private handle(session: WorkerSession, message: WorkerMessage): void {
    this.dispatch(session, message);
    this.roster.apply({ type: 'heartbeat', workerId: session.workerId, phase: session.phase });
  }

  private dispatch(session: WorkerSession, message: WorkerMessage): void {
    switch (message.type) {
      case 'ready':
        this.onReady(session, message);
        break;
      case 'heartbeat':
        session.hearHeartbeat(message);
        break;
      case 'step-report':
        this.onStepReport(session, message);
        break;
      case 'evaluation-report':
        this.progress.evaluated(session, message);
        break;
      case 'ring-failed':
        this.onRingFailed(session, message);
        break;
      case 'block-request':
        session.queueTransfer(message.type, () => this.sendBlock(session, message.sha256));
        break;
      case 'state-request':
        session.queueTransfer(message.type, () => sendState((part) => session.send(part), this.checkpointer.newest));
        break;
      case 'state-begin':
      case 'state-chunk':
      case 'state-end':
        session.acceptState(message, this.checkpointer.shape);
        break;
      case 'finished':
        this.onFinished(session, message);
        break;
      case 'leaving':
        this.onLeaving(session, message.reason);
        break;
      case 'failed':
        this.onFailed(session, message);
        break;
      default:
        message satisfies never;
    }
  }

  private onReady(session: WorkerSession, message: WorkerMessageOf<'ready'>): void {
    session.stage = session.returns ? 'returned' : 'ready';
    session.phase = 'waiting';
    session.ready = message;
    session.step = message.step ?? 0;
    session.heldStep = session.step;
    this.placeInBook(session, session.step);
    this.chronicle.ready(session);
    const { endpoint, share, workers } = message;
    this.roster.apply({ type: 'ready', workerId: session.workerId, endpoint, share, workers });
  }

  /**
   * Nobody goes back behind a worker that trained on without a coordinator. It reports its way up from where the ledger ends,
   * in order; a newcomer has nothing to report about the steps before its own.
   */
  private placeInBook({ returns, workerId, settledTold }: WorkerSession, step: number): void {
    const { book } = this.progress;
    if (returns) book.advance(Math.min(step, this.options.past.lastStep));
    book.pass(workerId, returns ? Math.min(step, settledTold) : step);
  }

  private onStepReport(session: WorkerSession, message: WorkerMessageOf<'step-report'>): void {
    const last = totalStepsOf(this.options.run);
    if (message.step < 1 || message.step > last) {
      throw unexpected(session.label, message.type, `step ${message.step} of ${last} does not exist`);
    }
    const { workerId } = session;
    this.roster.apply({ type: 'step-reported', workerId, generation: message.generation });
    this.progress.report(session, message);
    this.settleSteps();
  }

  private onRingFailed(session: WorkerSession, message: WorkerMessageOf<'ring-failed'>): void {
    const { generation, step, suspect, code } = message;
    this.chronicle.log.info({ workerId: session.workerId, generation, step, code, suspect }, message.message);
    this.roster.apply({ type: 'ring-failed', workerId: session.workerId, generation, step, suspect });
  }

  private async sendBlock(session: WorkerSession, sha256: string): Promise<void> {
    const data = await Promise.resolve(this.options.readBlock(sha256)).catch((error) => {
      this.chronicle.warnOf(error);
      return undefined;
    });
    await session.send({ type: 'block', sha256, data: data ?? null });
  }

  private onFinished(session: WorkerSession, message: WorkerMessageOf<'finished'>): void {
    const last = totalStepsOf(this.options.run);
    if (!message.stopped && message.step !== last) {
      throw unexpected(session.label, message.type, `the run ends after step ${last}, not after step ${message.step}`);
    }
    if (message.stopped && this.phase !== 'stopping' && !session.returns) {
      throw unexpected(session.label, message.type, 'nobody told it to stop');
    }
    session.stage = 'finished';
    session.phase = 'finished';
    session.step = message.step;
    session.finished = message;
    session.heldStep = message.step;
    this.progress.book.pass(session.workerId, message.step);
    this.settleSteps();
    this.endIfAllFinished();
  }

  private onLeaving(session: WorkerSession, reason: string): void {
    session.tell({ type: 'goodbye' });
    this.remove(session, true, reason);
    void session.close(`left: ${reason}`);
  }

  private onFailed(session: WorkerSession, { code, message, hint }: WorkerMessageOf<'failed'>): void {
    const known = code in ERROR_RULES ? (code as ErrorCode) : undefined;
    if (known && ERROR_RULES[known].exitCode === EXIT_CODE.training) {
      const facts = { workerId: session.workerId, worker: session.hello.name, step: session.step };
      this.fail(new CoordError(known, `${session.label}: ${message}`, { hint, facts }));
      return;
    }
    this.chronicle.log.warn({ workerId: session.workerId, code }, message);
    // The first line says what, the rest (a stack) is for the log.
    const [what] = message.split('\n');
    this.remove(session, false, hint === undefined ? `${code}: ${what}` : `${code}: ${what} (${hint})`);
    void session.close(`failed: ${code}`);
  }

  // ── who takes part ────────────────────────────────────────────────────────────────────────────────────────────────

  private formView(view: View): void {
    if (this.phase === 'ended') return;
    this.view = view;
    this.lastViewSize = view.members.reduce((sum, { workers }) => sum + workers, 0);
    if (this.phase === 'waiting') this.phase = 'training';
    this.chronicle.view(view);
    this.progress.viewFormed();
    this.shares.viewFormed();
    void this.publish(view);
    this.settleSteps();
    this.takeOver();
    this.endIfAllFinished();
  }

  /** The first view after an earlier coordinator's death, or one with a worker that was cut off for a while. */
  private takeOver(): void {
    const back = this.roster.participants().filter(({ stage, returns }) => returns && stage !== 'training');
    if (back.length === 0 || this.phase !== 'training') return;
    if (back.some(({ finished }) => finished?.stopped))
      this.requestStop('it was being stopped when its coordinator died');
    const { newest: held, lastSaved } = this.checkpointer;
    const newest = Math.max(...back.map(({ heldStep }) => heldStep));
    if (lastSaved || newest <= held.header.step || newest === totalStepsOf(this.options.run)) return;
    this.checkpointer.take(newest).catch((error) => this.chronicle.warnOf(error));
  }

  private endReturns(): void {
    const back = this.roster.all.filter(({ returns, stage }) => returns && stage !== 'joined');
    this.returns.end(back.map(({ workerId, hello: { name, hostName, pid } }) => ({ workerId, name, hostName, pid })));
  }

  /** The ledger first: a view that somebody acts on must survive this process. */
  private async publish(view: View): Promise<void> {
    await this.flushLedger();
    if (this.view !== view || this.phase === 'ended') return;
    for (const session of this.roster.participants()) {
      if (session.stage === 'ready' || session.stage === 'returned') session.stage = 'training';
      session.tell({ type: 'view', view });
    }
    if (this.phase === 'stopping') this.tellStop();
  }

  /** Workers that have no view yet are told after their first. */
  private tellStop(): void {
    const untold = this.roster.participants().filter(({ stage, stopTold }) => stage !== 'ready' && !stopTold);
    for (const session of untold) {
      session.stopTold = true;
      session.tell({ type: 'stop', reason: this.stopReason });
    }
  }

  private wait(present: number, needed: number, reason: string): void {
    this.view = undefined;
    if (this.phase === 'training') this.phase = 'waiting';
    if (this.phase === 'waiting') this.chronicle.waiting(present, needed, reason);
  }

  /** The link ended, or what came over it broke a rule. */
  private dismiss(session: WorkerSession, error: unknown): void {
    const { code, message } = toErrorRecord(error);
    if (code === 'LINK_CLOSED') {
      this.remove(session, false, message);
      void session.close(message);
      return;
    }
    this.chronicle.warnOf(error);
    session.tell({ type: 'expelled', code, message: message.slice(0, LIMITS.textLength) });
    this.remove(session, false, message);
    void session.close(`expelled: ${code}`);
  }

  /** The membership rules have taken the worker out already. */
  private expelSilent(workerId: string, code: ErrorCode, reason: string): void {
    const session = this.roster.get(workerId);
    if (session) this.dismiss(session, new CoordError(code, reason, { facts: { workerId } }));
  }

  private remove(session: WorkerSession, left: boolean, reason: string): void {
    if (!this.roster.delete(session) || this.phase === 'ended') return;
    this.chronicle.gone(session, left, reason);
    this.roster.apply({ type: left ? 'left' : 'lost', workerId: session.workerId, reason });
    this.settleSteps();
    this.endIfAllFinished();
    if (this.phase === 'stopping' && this.roster.candidates().length === 0) this.completeWithHeldState();
    this.failIfDeserted(`${session.label}: ${reason}`);
  }

  private failIfDeserted(last: string): void {
    const goesOn = this.phase === 'waiting' || this.phase === 'training';
    if (goesOn && this.roster.size === 0 && this.options.waitForWorkers === false) this.fail(workersLostError(last));
  }

  // ── checkpoints and the end ───────────────────────────────────────────────────────────────────────────────────────

  private checkpointIfDue(step: number): void {
    if (this.phase === 'ending' || this.phase === 'ended' || !isCheckpointDue(this.options.run, step)) return;
    if (step === totalStepsOf(this.options.run)) return;
    this.checkpointer.take(step).catch((error) => this.chronicle.warnOf(error));
  }

  private endIfAllFinished(): void {
    if (this.phase === 'ending' || this.phase === 'ended' || this.roster.isAwaitingReturns) return;
    const said = this.roster.participants().map(({ workerId, finished }) => [workerId, finished] as const);
    const verdict = judgeFinish(new Map(said));
    switch (verdict.type) {
      case 'not-yet':
        break;
      case 'agreed':
        void this.end(verdict.finished);
        break;
      case 'odd':
        this.expelAtEnd(verdict.dissenters, verdict.finished);
        break;
      case 'split':
        this.fail(endDisagreementError(verdict.opinions));
        break;
      default:
        verdict satisfies never;
    }
  }

  private expelAtEnd(dissenters: readonly string[], agreed: Finished): void {
    for (const session of this.roster.named(dissenters)) {
      // An expulsion forms a view, and that may have come here for the others before us.
      if (!this.roster.has(session)) continue;
      this.chronicle.diverged(session, agreed.step, session.finished!.weightsSha256, agreed.weightsSha256);
      this.dismiss(session, endDisagreementError(`${session.label} is the odd one`));
    }
  }

  private async end({ step, stopped }: Finished): Promise<void> {
    this.phase = 'ending';
    this.roster.apply({ type: 'stopping' });
    try {
      if (step > 0) await this.checkpointer.take(step);
      this.complete(stopped);
    } catch (error) {
      if (isCoordError(error, 'STATE_UNAVAILABLE')) this.goOn(stopped, error);
      else this.fail(lastCheckpointError(error));
    }
  }

  /** Everybody who could have delivered the last state is gone: others compute the lost steps again, to the same bits. */
  private goOn(stopped: boolean, error: CoordError): void {
    if (this.phase === 'ended') return;
    if (stopped) this.completeWithHeldState();
    else if (this.options.waitForWorkers === false && this.roster.size === 0) this.fail(lastCheckpointError(error));
    else {
      this.phase = 'waiting';
      this.chronicle.warnOf(error);
      this.roster.apply({ type: 'resuming' });
    }
  }

  /** Stopped while nobody was there: what this process holds is the newest state that there is. */
  private completeWithHeldState(): void {
    const { step } = this.checkpointer.newest.header;
    const lost = this.progress.book.step - step;
    if (lost > 0) this.chronicle.warn(lostStepsError(step, lost));
    this.complete(true);
  }

  private complete(stopped: boolean): void {
    if (this.phase === 'ended') return;
    this.phase = 'ended';
    const result = this.result(stopped);
    this.chronicle.finished(result);
    for (const session of this.roster.all) {
      session.tell({ type: 'goodbye' });
      void session.close('the run is complete');
    }
    this.roster.close();
    this.outcome.succeed(result);
  }

  private result(stopped: boolean): RunResult {
    const { header } = this.checkpointer.newest;
    return {
      step: header.step,
      epoch: epochsCompleted(this.options.run, header.step),
      weightsSha256: header.weightsSha256,
      stopped,
      testMetrics: this.progress.lastEvaluation,
      samples: this.progress.samples,
      seconds: this.progress.seconds,
      workers: this.lastViewSize,
      checkpointPath: this.checkpointer.lastSaved?.path,
    };
  }

  private fail(error: CoordError): void {
    if (this.phase === 'ended') return;
    this.phase = 'ended';
    this.chronicle.failed(error);
    for (const session of this.roster.all) {
      session.tell({ type: 'expelled', code: error.code, message: error.message.slice(0, LIMITS.textLength) });
      void session.close(`the run failed: ${error.code}`);
    }
    this.roster.close();
    this.outcome.fail(error);
  }

  private async flushLedger(): Promise<void> {
    await this.options.ledger.flush().catch((error) => this.chronicle.warnOf(error));
  }
}
