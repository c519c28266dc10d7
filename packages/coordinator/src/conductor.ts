/**
 * Conductor: leads one run from the first worker to the last goodbye. It reads what workers say, lets the membership rules
 * and the step book decide, and carries their decisions out. It never touches a gradient.
 */
import { type Clock, type CoordError, systemClock, type View } from '@coord/protocol';
import type { Link } from '@coord/transport';
import type { TokenRecord } from './access/token-record.js';
import { Checkpointer } from './checkpointer.js';
import type { Chronicle } from './chronicle.js';
import { Departures } from './departures.js';
import { type DivergenceActions, Divergences, type Evidence } from './divergences.js';
import { Endings } from './endings.js';
import type { RunResult } from './events.js';
import type { Admission } from './handshake.js';
import type { Ledger } from './ledger.js';
import type { CoordinatorOptions, Timings } from './options.js';
import { Orders } from './orders.js';
import type { FormerWorker, RunPast } from './past.js';
import { Progress, type ProgressActions } from './progress.js';
import { Reception } from './reception.js';
import { Returns } from './returns.js';
import { Roster } from './roster.js';
import { closedError, workersLostError } from './run-errors.js';
import { RunStage } from './run-stage.js';
import { isCheckpointDue, totalStepsOf } from './schedule.js';
import { ShareKeeper } from './share-keeper.js';
import type { HashedState } from './state-transfer.js';
import { StepBook } from './step-book.js';
import { StragglerWatch } from './straggler-watch.js';
import type { Straggler } from './stragglers.js';
import { WorkerMessages } from './worker-messages.js';

export interface ConductorOptions extends Omit<CoordinatorOptions, 'listen' | 'logger' | 'timings' | 'onEvent'> {
  readonly timings: Timings;
  readonly initial: HashedState;
  readonly past: RunPast;
  readonly ledger: Ledger;
  readonly chronicle: Chronicle;
  /** Writes a state to the run directory and returns the checkpoint's path. */
  readonly save: (state: HashedState['state']) => Promise<string>;
  /** Writes what a replica had otherwise to the run directory. */
  readonly keepEvidence: (evidence: Evidence) => Promise<void>;
}

export class Conductor {
  readonly roster: Roster;
  readonly progress: Progress;
  readonly checkpointer: Checkpointer;
  readonly stage = new RunStage();
  private readonly clock: Clock;
  private readonly chronicle: Chronicle;
  private readonly endings: Endings;
  private readonly messages: WorkerMessages;
  private readonly divergences: Divergences;
  private readonly departures: Departures;
  private readonly orders: Orders;
  private readonly reception: Reception;
  private readonly returns = new Returns();
  private readonly shares: ShareKeeper;
  private readonly watch: StragglerWatch;

  constructor(private readonly options: ConductorOptions) {
    this.clock = options.clock ?? systemClock;
    this.chronicle = options.chronicle;
    this.shares = new ShareKeeper(this.clock, options.run.batch.grains, options.shares);
    this.watch = new StragglerWatch(this.clock, this.chronicle, (workerId) => this.roster.get(workerId));
    this.checkpointer = this.createCheckpointer();
    this.progress = this.createProgress();
    this.roster = this.createRoster();
    const { stage, roster, progress, checkpointer, chronicle } = this;
    const parts = { options, stage, roster, progress, checkpointer, chronicle };
    this.orders = new Orders(stage, roster, () => this.flushLedger());
    this.departures = new Departures({ ...parts, clock: this.clock, onGone: (last) => this.onGone(last) });
    this.endings = new Endings({
      ...parts,
      dismiss: (session, error) => this.departures.dismiss(session, error),
      flushLedger: () => this.flushLedger(),
    });
    this.divergences = this.createDivergences();
    this.messages = new WorkerMessages({
      ...parts,
      clock: this.clock,
      divergences: this.divergences,
      settleSteps: () => this.settleSteps(),
      endIfAllFinished: () => this.endings.endIfAllFinished(),
      remove: (session, left, reason) => this.departures.remove(session, left, reason),
      fail: (error) => this.endings.fail(error),
    });
    const { messages, divergences, departures } = this;
    const settledStep = () => this.settledStep;
    this.reception = new Reception({ ...parts, messages, divergences, departures, settledStep });
    if (!this.roster.isAwaitingReturns) this.returns.end([]);
  }

  /** Rejects with the CoordError that ended the run. */
  get finished(): Promise<RunResult> {
    return this.endings.finished;
  }

  get runId(): string {
    return this.options.run.runId;
  }

  /** Workers that hold the others up. */
  get stragglers(): readonly Straggler[] {
    return this.watch.stragglers;
  }

  /** Workers of an earlier start that may come back. */
  get awaited(): readonly FormerWorker[] {
    return this.options.past.awaited;
  }

  /** Resolves, once nobody is awaited any longer, with those that came back. */
  get returned(): Promise<readonly FormerWorker[]> {
    return this.returns.promise;
  }

  /** As `Reception.serve`. */
  serve(link: Link, admission: Admission): Promise<void> {
    return this.reception.serve(link, admission);
  }

  /** As `Reception.refusalOf`. */
  refusalOf(admission: Admission): CoordError | undefined {
    return this.reception.refusalOf(admission);
  }

  /** As `Departures.drain`. */
  drain(who: string): string | undefined {
    return this.departures.drain(who);
  }

  /** As `Departures.disconnect`. */
  disconnect(token: TokenRecord): number {
    return this.departures.disconnect(token);
  }

  requestStop(reason: string): void {
    if (this.stage.phase !== 'waiting' && this.stage.phase !== 'training') return;
    this.stage.phase = 'stopping';
    this.chronicle.stopping(reason);
    this.roster.apply({ type: 'stopping' });
    this.orders.stop(reason);
    if (this.roster.candidates().length === 0) this.endings.completeWithHeldState();
  }

  /** Ends everything at once; `finished` rejects unless it is settled. */
  async close(): Promise<void> {
    this.endings.fail(closedError());
    await Promise.all(this.roster.all.map((session) => session.close('the coordinator is closing')));
  }

  /** Steps up to this one stand in the ledger: of this start, or of one before. */
  private get settledStep(): number {
    return Math.max(this.progress.book.step, this.options.past.lastStep);
  }

  private createCheckpointer(): Checkpointer {
    return new Checkpointer(this.options.initial, {
      clock: this.clock,
      uploadTimeoutMs: this.options.timings.uploadTimeoutMs,
      sources: () => this.roster.participants().filter(({ stage }) => stage !== 'ready'),
      settledHash: (step) => this.progress.book.whenSettled(step),
      save: (state) => this.save(state),
      diverged: (...incident) => this.divergences.strike(...incident),
      distrust: (session, error) => this.departures.dismiss(session, error),
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
      settled: (step, weightsSha256) => this.onSettled(step, weightsSha256),
      strike: (...incident) => this.divergences.strike(...incident),
      fail: (error) => this.endings.fail(error),
    };
    return new Progress(run, this.clock, book, this.chronicle, actions, past.lastEvaluation);
  }

  private createDivergences(): Divergences {
    const actions: DivergenceActions = {
      sessionOf: (workerId) => this.roster.get(workerId),
      memberCount: () => this.roster.participants().length,
      settledHash: (step) => this.progress.book.settledHash(step),
      expel: (session, error) => this.departures.dismiss(session, error),
      keepEvidence: (evidence) => this.options.keepEvidence(evidence).catch((error) => this.chronicle.warnOf(error)),
    };
    return new Divergences(this.chronicle, actions, this.options.past.strikes);
  }

  private onSettled(step: number, weightsSha256: string): void {
    this.divergences.settled(step, weightsSha256);
    const { lastStep } = this.progress;
    if (lastStep) {
      this.shares.see(lastStep);
      this.watch.see(lastStep);
    }
    this.checkpointIfDue(step);
  }

  /** After the settling: a better division of the grains forms a view. */
  private rebalance(): void {
    if (this.stage.phase !== 'training' || !this.stage.view) return;
    const decision = this.shares.decide(this.stage.view.members);
    if (decision) this.roster.apply({ type: 'rebalance', ...decision });
  }

  private createRoster(): Roster {
    const { run, minWorkers, floorWorkers = 1, maxWorkers, timings, past } = this.options;
    const { clock } = this;
    return new Roster(
      { clock, runId: run.runId, minWorkers, floorWorkers, maxWorkers, timings, past },
      {
        formView: (view) => this.formView(view),
        expel: (workerId, code, reason) => this.departures.expel(workerId, code, reason),
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

  // ── who takes part ────────────────────────────────────────────────────────────────────────────────────────────────

  private formView(view: View): void {
    if (this.stage.phase === 'ended') return;
    this.stage.view = view;
    this.stage.shortage = undefined;
    this.stage.viewSize = view.members.reduce((sum, { workers }) => sum + workers, 0);
    if (this.stage.phase === 'waiting') this.stage.phase = 'training';
    this.chronicle.view(view);
    this.progress.viewFormed(view);
    this.shares.viewFormed();
    void this.orders.publish(view);
    this.settleSteps();
    this.takeOver();
    this.endings.endIfAllFinished();
  }

  /** The first view after an earlier coordinator's death, or one with a worker that was cut off for a while. */
  private takeOver(): void {
    const back = this.roster.participants().filter(({ stage, returns }) => returns && stage !== 'training');
    if (back.length === 0 || this.stage.phase !== 'training') return;
    if (back.some(({ finished }) => finished?.stopped))
      this.requestStop('it was being stopped when its coordinator died');
    const { newest: held, lastSaved } = this.checkpointer;
    const newest = Math.max(...back.map(({ heldStep }) => heldStep));
    if (lastSaved || newest <= held.header.step || newest === totalStepsOf(this.options.run)) return;
    this.checkpointer.take(newest).catch((error) => this.chronicle.warnOf(error));
  }

  private endReturns(): void {
    const back = this.roster.all.filter(({ returns, stage }) => returns && stage !== 'joined');
    const selves = back.map(({ workerId, tokenId, hello: { name, hostName, pid } }) => {
      return { workerId, tokenId, name, hostName, pid };
    });
    this.returns.end(selves);
  }

  private wait(present: number, needed: number, reason: string): void {
    this.stage.view = undefined;
    this.stage.shortage = { present, needed, reason };
    if (this.stage.phase === 'training') this.stage.phase = 'waiting';
    if (this.stage.phase === 'waiting') this.chronicle.waiting(present, needed, reason);
  }

  private onGone(last: string): void {
    this.settleSteps();
    this.endings.endIfAllFinished();
    if (this.stage.phase === 'stopping' && this.roster.candidates().length === 0) this.endings.completeWithHeldState();
    this.failIfDeserted(last);
  }

  private failIfDeserted(last: string): void {
    const goesOn = this.stage.phase === 'waiting' || this.stage.phase === 'training';
    if (goesOn && this.roster.size === 0 && this.options.waitForWorkers === false)
      this.endings.fail(workersLostError(last));
  }

  private checkpointIfDue(step: number): void {
    if (this.stage.phase === 'ending' || this.stage.phase === 'ended' || !isCheckpointDue(this.options.run, step))
      return;
    if (step === totalStepsOf(this.options.run)) return;
    this.checkpointer.take(step).catch((error) => this.chronicle.warnOf(error));
  }

  private async flushLedger(): Promise<void> {
    await this.options.ledger.flush().catch((error) => this.chronicle.warnOf(error));
  }
}
