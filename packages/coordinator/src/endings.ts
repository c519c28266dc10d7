/**
 * How a run ends: everybody says that nothing is left to do, with the same weights; the last checkpoint is saved; everybody is
 * sent home. Or it fails, with the error that ended it.
 */
import { type CoordError, isCoordError, LIMITS } from '@coord/protocol';
import type { Checkpointer } from './checkpointer.js';
import type { Chronicle } from './chronicle.js';
import type { RunResult } from './events.js';
import { type Finished, judgeFinish } from './finish.js';
import type { CoordinatorOptions } from './options.js';
import { Outcome } from './outcome.js';
import type { Progress } from './progress.js';
import type { Roster } from './roster.js';
import { endDisagreementError, endStateError, lastCheckpointError, lostStepsError } from './run-errors.js';
import type { RunStage } from './run-stage.js';
import { epochsCompleted } from './schedule.js';
import type { WorkerSession } from './worker-session.js';

export interface EndingParts {
  readonly options: Pick<CoordinatorOptions, 'run' | 'waitForWorkers'>;
  readonly stage: RunStage;
  readonly roster: Roster;
  readonly progress: Progress;
  readonly checkpointer: Checkpointer;
  readonly chronicle: Chronicle;
  /** The link of a worker ends, with the reason. */
  dismiss(session: WorkerSession, error: CoordError): void;
  flushLedger(): Promise<void>;
}

export class Endings {
  private readonly outcome: Outcome;

  constructor(private readonly parts: EndingParts) {
    this.outcome = new Outcome(() => parts.flushLedger());
  }

  /** Rejects with the CoordError that ended the run. */
  get finished(): Promise<RunResult> {
    return this.outcome.promise;
  }

  endIfAllFinished(): void {
    if (
      this.parts.stage.phase === 'ending' ||
      this.parts.stage.phase === 'ended' ||
      this.parts.roster.isAwaitingReturns
    )
      return;
    const said = this.parts.roster.participants().map(({ workerId, finished }) => [workerId, finished] as const);
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
    for (const session of this.parts.roster.named(dissenters)) {
      // An expulsion forms a view, and that may have come here for the others before us.
      if (!this.parts.roster.has(session)) continue;
      this.parts.chronicle.diverged(session, agreed.step, session.finished!.weightsSha256, agreed.weightsSha256);
      this.parts.dismiss(session, endDisagreementError(`${session.label} is the odd one`));
    }
  }

  private async end({ step, weightsSha256, stopped }: Finished): Promise<void> {
    this.parts.stage.phase = 'ending';
    this.parts.progress.conclude(step, weightsSha256);
    this.parts.roster.apply({ type: 'stopping' });
    try {
      if (step > 0) await this.parts.checkpointer.take(step);
      this.complete(stopped);
    } catch (error) {
      if (isCoordError(error, 'STATE_UNAVAILABLE')) this.goOn(stopped, error);
      else this.fail(lastCheckpointError(error));
    }
  }

  /** Everybody who could have delivered the last state is gone, or does not hold it: others compute the lost steps again, to the same bits. */
  private goOn(stopped: boolean, error: CoordError): void {
    if (this.parts.stage.phase === 'ended') return;
    if (stopped) this.completeWithHeldState();
    else if (this.parts.options.waitForWorkers === false && this.parts.roster.size === 0)
      this.fail(lastCheckpointError(error));
    else {
      this.parts.stage.phase = 'waiting';
      this.parts.chronicle.warnOf(error);
      this.dismissFinished();
      this.parts.roster.apply({ type: 'resuming' });
    }
  }

  /** A member that has ended was asked, so it does not hold what it ended with; it would keep others from the end for ever. */
  private dismissFinished(): void {
    for (const session of this.parts.roster.participants()) {
      if (session.finished) this.parts.dismiss(session, endStateError(session.label));
    }
  }

  /** Stopped while nobody was there: what this process holds is the newest state that there is. */
  completeWithHeldState(): void {
    const { step } = this.parts.checkpointer.newest.header;
    const lost = this.parts.progress.book.step - step;
    if (lost > 0) this.parts.chronicle.warn(lostStepsError(step, lost));
    this.complete(true);
  }

  private complete(stopped: boolean): void {
    if (this.parts.stage.phase === 'ended') return;
    this.parts.stage.phase = 'ended';
    const result = this.result(stopped);
    this.parts.chronicle.finished(result);
    for (const session of this.parts.roster.all) {
      session.tell({ type: 'goodbye' });
      void session.close('the run is complete');
    }
    this.parts.roster.close();
    this.outcome.succeed(result);
  }

  private result(stopped: boolean): RunResult {
    const { header } = this.parts.checkpointer.newest;
    return {
      step: header.step,
      epoch: epochsCompleted(this.parts.options.run, header.step),
      weightsSha256: header.weightsSha256,
      stopped,
      testMetrics: this.parts.progress.lastEvaluation,
      samples: this.parts.progress.samples,
      seconds: this.parts.progress.seconds,
      workers: this.parts.stage.viewSize,
      checkpointPath: this.parts.checkpointer.lastSaved?.path,
    };
  }

  fail(error: CoordError): void {
    if (this.parts.stage.phase === 'ended') return;
    this.parts.stage.phase = 'ended';
    this.parts.chronicle.failed(error);
    for (const session of this.parts.roster.all) {
      session.tell({ type: 'expelled', code: error.code, message: error.message.slice(0, LIMITS.textLength) });
      void session.close(`the run failed: ${error.code}`);
    }
    this.parts.roster.close();
    this.outcome.fail(error);
  }
}
