/** Progress: step and evaluation reports come in, settled steps come out; divergence is named. */
import { isDeepStrictEqual } from 'node:util';
import {
  type Clock,
  CoordError,
  type MetricValues,
  metricValues,
  type PhaseTimes,
  type RunSpec,
  type View,
  type WorkerMessageOf,
} from '@coord/protocol';
import type { Chronicle } from './chronicle.js';
import type { EvaluationEvent, StepEvent } from './events.js';
import { RecoveryBook } from './recovery.js';
import { epochOf, totalStepsOf } from './schedule.js';
import type { Settlement, StepBook, StepReport } from './step-book.js';
import { Throughput } from './throughput.js';
import type { WorkerSession } from './worker-session.js';

type EvaluationReport = WorkerMessageOf<'evaluation-report'>;

export interface ProgressActions {
  sessionOf(workerId: string): WorkerSession | undefined;
  /** Does a worker that is still there hold this step, or a later one? */
  isAnyoneAt(step: number): boolean;
  /** Step and hash of every worker agree. */
  settled(step: number, weightsSha256: string): void;
  /** The worker came to something else than all others. */
  strike(session: WorkerSession, step: number, weightsSha256: string, agreedSha256: string): void;
  fail(error: CoordError): void;
}

const isSameEvaluation = (first: MetricValues, second: MetricValues): boolean =>
  first.loss === second.loss && first.accuracy === second.accuracy && isDeepStrictEqual(first.metrics, second.metrics);

interface Dissent {
  readonly workerId: string;
  readonly report: StepReport;
  readonly agreedSha256: string;
}

const dissentOf = ({ dissenters, reports }: Settlement, { weightsSha256 }: StepReport): Dissent[] =>
  dissenters.map((workerId) => ({ workerId, report: reports.get(workerId)!, agreedSha256: weightsSha256 }));

export class Progress {
  samples = 0;
  lastStep: StepEvent | undefined;
  /** By step; one an epoch or so. */
  private readonly evaluations = new Map<number, EvaluationEvent>();
  private startedMs: number | undefined;
  private readonly throughput = new Throughput();
  readonly recoveries = new RecoveryBook();

  constructor(
    private readonly run: RunSpec,
    private readonly clock: Clock,
    readonly book: StepBook,
    private readonly chronicle: Chronicle,
    private readonly actions: ProgressActions,
    /** The newest one; at first that of an earlier start. */
    public lastEvaluation?: EvaluationEvent,
  ) {}

  /** Since the first view. */
  get seconds(): number {
    return this.startedMs === undefined ? 0 : (this.clock.nowMs() - this.startedMs) / 1000;
  }

  get samplesPerSecond(): number {
    return this.throughput.samplesPerSecond;
  }

  viewFormed({ generation, reason }: View): void {
    this.recoveries.viewFormed(this.clock.nowMs(), generation, reason);
    this.startedMs ??= this.clock.nowMs();
    this.throughput.restart(this.clock.nowMs());
  }

  report(session: WorkerSession, report: StepReport): void {
    session.step = report.step;
    session.times = report.times;
    session.ownSamples = report.ownSamples;
    this.enter(session, report);
    session.heldStep = Math.max(session.heldStep, report.step);
  }

  private enter(session: WorkerSession, report: StepReport): void {
    if (report.step <= this.book.step && !this.actions.isAnyoneAt(this.book.step)) this.rewind(report.step - 1);
    if (this.book.add(session.workerId, report)) return;
    const known = this.book.settledHash(report.step);
    if (known !== undefined && known !== report.weightsSha256) {
      this.actions.strike(session, report.step, report.weightsSha256, known);
    }
  }

  /** The report is the proof: only a ring in which nobody holds a settled step computes it again. */
  private rewind(step: number): void {
    this.chronicle.rewound(step, this.book.step);
    this.book.rewind(step);
  }

  /** To be called after a report, and when a member is gone: the others may have been waiting for its report alone. */
  settle(members: readonly string[]): void {
    const dissent: Dissent[] = [];
    for (const settlement of this.book.settle(members)) {
      if (!settlement.agreed) {
        this.awaitRetreat(settlement);
        break;
      }
      this.accept(settlement, settlement.agreed);
      dissent.push(...dissentOf(settlement, settlement.agreed));
    }
    // Last: an expulsion forms a view, and that settles what follows.
    for (const { workerId, report, agreedSha256 } of dissent) {
      const session = this.actions.sessionOf(workerId);
      if (session) this.actions.strike(session, report.step, report.weightsSha256, agreedSha256);
    }
  }

  /** The run ends with this step. */
  conclude(step: number, weightsSha256: string): void {
    const unreported = this.book.conclude(step, weightsSha256);
    if (unreported.length > 0) this.chronicle.unreported(unreported);
  }

  /** Workers notice by themselves that they differ, and go back; one that goes on instead has not noticed. */
  private awaitRetreat({ step, reports }: Settlement): void {
    if (this.book.isPassed(step)) this.actions.fail(noMajority(step, reports));
  }

  /** The worker has gone back to this step, because nobody could say whose later state is right. */
  retreat(session: WorkerSession, step: number): void {
    session.step = step;
    session.heldStep = step;
    session.retreats++;
    this.book.retreat(session.workerId, step);
  }

  evaluated(session: WorkerSession, { step, epoch, metrics, durationMs }: EvaluationReport): void {
    const values = metricValues(this.run.metrics, metrics, 'evaluation');
    const first = this.evaluations.get(step);
    if (!first) {
      this.evaluations.set(step, { event: 'evaluation', step, epoch, durationMs, ...values });
      this.publishEvaluations(this.book.step);
    } else if (!isSameEvaluation(first, values)) {
      const message = `${session.label} evaluated step ${step} to a loss of ${values.loss}, others to ${first.loss}, or to other metrics`;
      this.chronicle.warn({ code: 'UNEXPECTED', message });
    }
  }

  /**
   * An evaluation stands in the ledger after its step, whose last report may be slower on its way.
   *
   * @param recordedStep the last step that is in the ledger: the book may have settled more at once.
   */
  private publishEvaluations(recordedStep: number): void {
    for (const evaluation of this.evaluations.values()) {
      const published = this.lastEvaluation !== undefined && evaluation.step <= this.lastEvaluation.step;
      if (published || evaluation.step > recordedStep) continue;
      this.lastEvaluation = evaluation;
      this.chronicle.evaluation(evaluation);
    }
  }

  private accept({ step, reports, skipped }: Settlement, agreed: StepReport): void {
    if (skipped.length > 0) this.chronicle.unreported(skipped);
    const before = this.book.remember(step, agreed.weightsSha256);
    if (before !== undefined && before !== agreed.weightsSha256) this.warnOfOtherResult(step, before, agreed);
    this.samples += agreed.metrics.samples;
    this.throughput.add(this.clock.nowMs(), agreed.metrics.samples);
    this.lastStep = this.stepEvent(agreed, reports);
    this.chronicle.step(this.lastStep, agreed.generation, before !== agreed.weightsSha256);
    const recovery = this.recoveries.settled(this.clock.nowMs(), step, reports);
    if (recovery) this.chronicle.recovered(recovery);
    this.publishEvaluations(step);
    this.actions.settled(step, agreed.weightsSha256);
  }

  private stepEvent(agreed: StepReport, reports: ReadonlyMap<string, StepReport>): StepEvent {
    const times: Record<string, PhaseTimes> = {};
    const ownSamples: Record<string, number> = {};
    for (const [workerId, report] of reports) {
      times[workerId] = report.times;
      ownSamples[workerId] = report.ownSamples;
    }
    const { step, weightsSha256, skipped, requantised } = agreed;
    const epoch = epochOf(this.run, step);
    const totalSteps = totalStepsOf(this.run);
    const { samplesPerSecond } = this;
    const facts = { step, totalSteps, epoch, weightsSha256, samplesPerSecond, skipped, requantised };
    return {
      event: 'step',
      ...facts,
      ...metricValues(this.run.metrics, agreed.metrics, 'training'),
      times,
      ownSamples,
    };
  }

  /** Legitimate only between workers of different numeric identity: the reader must know. */
  private warnOfOtherResult(step: number, before: string, { weightsSha256 }: StepReport): void {
    const message = `step ${step} was computed again and came out as ${weightsSha256}, not ${before} as before: the engines differ`;
    this.chronicle.warn({ code: 'UNEXPECTED', message });
  }
}

function noMajority(step: number, reports: ReadonlyMap<string, StepReport>): CoordError {
  const opinions = [...reports].map(([id, report]) => `${id} ${report.weightsSha256.slice(0, 12)}…`).join(', ');
  return new CoordError('REPLICA_DIVERGED', `workers disagree about the weights after step ${step}: ${opinions}`, {
    facts: { step, opinions },
    hint: 'No result has a majority, so nobody can say who is right. Resume from the last checkpoint, with three or more workers to find the odd one.',
  });
}
