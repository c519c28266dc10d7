/** What workers say, and what follows from it. */
import {
  type Clock,
  CoordError,
  ERROR_RULES,
  EXIT_CODE,
  knownErrorCode,
  type Purpose,
  tallyParts,
  tallySize,
  type WorkerMessage,
  type WorkerMessageOf,
} from '@coord/protocol';
import type { Checkpointer } from './checkpointer.js';
import type { Chronicle } from './chronicle.js';
import type { Divergences } from './divergences.js';
import type { Ledger } from './ledger.js';
import type { CoordinatorOptions } from './options.js';
import type { RunPast } from './past.js';
import type { Progress } from './progress.js';
import type { Roster } from './roster.js';
import type { RunStage } from './run-stage.js';
import { totalStepsOf } from './schedule.js';
import { sendState } from './state-transfer.js';
import { unexpected } from './turn.js';
import type { WorkerSession } from './worker-session.js';

export interface MessageParts {
  readonly options: Pick<CoordinatorOptions, 'run' | 'readBlock'> & { readonly past: RunPast; readonly ledger: Ledger };
  readonly stage: RunStage;
  readonly roster: Roster;
  readonly progress: Progress;
  readonly checkpointer: Checkpointer;
  readonly clock: Clock;
  readonly chronicle: Chronicle;
  readonly divergences: Divergences;
  /** Steps that all members have reported are settled. */
  settleSteps(): void;
  endIfAllFinished(): void;
  /** @param left it said goodbye. */
  remove(session: WorkerSession, left: boolean, reason: string): void;
  fail(error: CoordError): void;
}

export class WorkerMessages {
  /** Numbers that a report's tally has in this run. */
  private readonly tallySizes: Readonly<Record<Purpose, number>>;

  constructor(private readonly parts: MessageParts) {
    const sizeFor = (purpose: Purpose) => tallySize(tallyParts(parts.options.run.metrics, purpose));
    this.tallySizes = { training: sizeFor('training'), evaluation: sizeFor('evaluation') };
  }

  /** @throws CoordError MESSAGE_UNEXPECTED, and what taking a state apart throws. */
  handle(session: WorkerSession, message: WorkerMessage): void {
    this.dispatch(session, message);
    this.parts.roster.apply({ type: 'heartbeat', workerId: session.workerId, phase: session.phase });
  }

  private dispatch(session: WorkerSession, message: WorkerMessage): void {
    switch (message.type) {
      case 'ready':
        this.onReady(session, message);
        break;
      case 'heartbeat':
        session.hearHeartbeat(message, this.parts.options.ledger.recordedStep);
        break;
      case 'step-report':
        this.onStepReport(session, message);
        break;
      case 'evaluation-report':
        this.onEvaluation(session, message);
        break;
      case 'diverged':
        this.onDiverged(session, message);
        break;
      case 'ring-failed':
        this.onRingFailed(session, message);
        break;
      case 'block-request':
        session.queueTransfer(message.type, () => this.sendBlock(session, message.sha256));
        break;
      case 'state-request':
        session.queueTransfer(message.type, () =>
          sendState((part) => session.send(part), this.parts.checkpointer.newest),
        );
        break;
      case 'peers-request':
        session.queueTransfer(message.type, () => session.send({ type: 'peers', view: this.parts.stage.view ?? null }));
        break;
      case 'state-begin':
      case 'state-chunk':
      case 'state-end':
        session.acceptState(message, this.parts.checkpointer.shape);
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
    this.parts.chronicle.ready(session);
    const { endpoint, linkKey, share, workers } = message;
    this.parts.roster.apply({ type: 'ready', workerId: session.workerId, endpoint, linkKey, share, workers });
  }

  /**
   * Nobody goes back behind a worker that trained on without a coordinator. It reports its way up from where the ledger ends,
   * in order; a newcomer has nothing to report about the steps before its own.
   */
  private placeInBook({ returns, workerId, settledTold }: WorkerSession, step: number): void {
    const { book } = this.parts.progress;
    if (returns) book.advance(Math.min(step, this.parts.options.past.lastStep));
    book.pass(workerId, returns ? Math.min(step, settledTold) : step);
  }

  private onStepReport(session: WorkerSession, message: WorkerMessageOf<'step-report'>): void {
    this.requireOfRun(session, message, 'training');
    const { workerId } = session;
    this.parts.roster.apply({ type: 'step-reported', workerId, generation: message.generation });
    this.parts.progress.report(session, message);
    this.parts.settleSteps();
  }

  private onEvaluation(session: WorkerSession, message: WorkerMessageOf<'evaluation-report'>): void {
    this.requireOfRun(session, message, 'evaluation');
    this.parts.progress.evaluated(session, message);
  }

  /** Steps and tallies are those of the run: what others would wait for, or could not be read, is not kept. */
  private requireOfRun(
    { label }: WorkerSession,
    { type, step, metrics }: WorkerMessageOf<'step-report' | 'evaluation-report'>,
    purpose: Purpose,
  ): void {
    const last = totalStepsOf(this.parts.options.run);
    if (step < 1 || step > last) throw unexpected(label, type, `step ${step} of ${last} does not exist`);
    const [size, due] = [metrics.tally?.length ?? 0, this.tallySizes[purpose]];
    if (size !== due) throw unexpected(label, type, `its tally has ${size} numbers, those of this run have ${due}`);
  }

  private onDiverged(session: WorkerSession, message: WorkerMessageOf<'diverged'>): void {
    if (message.startsFrom !== undefined) this.parts.progress.retreat(session, message.startsFrom);
    this.parts.divergences.hear(session, message);
  }

  private onRingFailed(session: WorkerSession, message: WorkerMessageOf<'ring-failed'>): void {
    const { generation, step, suspect, code } = message;
    this.parts.chronicle.log.info({ workerId: session.workerId, generation, step, code, suspect }, message.message);
    const isCurrent = generation === this.parts.stage.view?.generation;
    if (isCurrent) this.parts.progress.recoveries.noticed(this.parts.clock.nowMs());
    this.parts.roster.apply({ type: 'ring-failed', workerId: session.workerId, generation, step, suspect });
  }

  private async sendBlock(session: WorkerSession, sha256: string): Promise<void> {
    const data = await Promise.resolve(this.parts.options.readBlock(sha256)).catch((error) => {
      this.parts.chronicle.warnOf(error);
      return undefined;
    });
    await session.send({ type: 'block', sha256, data: data ?? null });
  }

  private onFinished(session: WorkerSession, message: WorkerMessageOf<'finished'>): void {
    const last = totalStepsOf(this.parts.options.run);
    if (!message.stopped && message.step !== last) {
      throw unexpected(session.label, message.type, `the run ends after step ${last}, not after step ${message.step}`);
    }
    if (message.stopped && this.parts.stage.phase !== 'stopping' && !session.returns) {
      throw unexpected(session.label, message.type, 'nobody told it to stop');
    }
    session.stage = 'finished';
    session.phase = 'finished';
    session.step = message.step;
    session.finished = message;
    session.heldStep = message.step;
    this.parts.progress.book.pass(session.workerId, message.step);
    this.parts.settleSteps();
    this.parts.endIfAllFinished();
  }

  private onLeaving(session: WorkerSession, reason: string): void {
    session.tell({ type: 'goodbye' });
    this.parts.remove(session, true, reason);
    void session.close(`left: ${reason}`);
  }

  private onFailed(session: WorkerSession, { code, message, hint }: WorkerMessageOf<'failed'>): void {
    const known = knownErrorCode(code);
    if (known && ERROR_RULES[known].exitCode === EXIT_CODE.training) {
      const facts = { workerId: session.workerId, worker: session.hello.name, step: session.step };
      this.parts.fail(new CoordError(known, `${session.label}: ${message}`, { hint, facts }));
      return;
    }
    this.parts.chronicle.log.warn({ workerId: session.workerId, code }, message);
    // The first line says what, the rest (a stack) is for the log.
    const [what] = message.split('\n');
    this.parts.remove(session, false, hint === undefined ? `${code}: ${what}` : `${code}: ${what} (${hint})`);
    void session.close(`failed: ${code}`);
  }
}
