/**
 * Step book: collects what workers report about each step, and settles steps in order. A step is settled when every member
 * of the view is past it; by then all its reports are in, and they must be the same.
 */
import { CoordError, type WorkerMessageOf } from '@coord/protocol';
import { countVotes } from './votes.js';

export type StepReport = WorkerMessageOf<'step-report'>;

export interface Settlement {
  readonly step: number;
  /** Worker id → its report. */
  readonly reports: ReadonlyMap<string, StepReport>;
  /** A report of the majority; undefined when no result has one. */
  readonly agreed: StepReport | undefined;
  readonly dissenters: readonly string[];
}

interface Waiter {
  resolve(weightsSha256: string): void;
  reject(error: CoordError): void;
}

const rewound = (step: number): CoordError =>
  new CoordError('VIEW_CHANGED', `training goes back to step ${step}: nobody holds a newer state`, { facts: { step } });

/** Equal text, equal result. Times and own samples are each worker's own. */
const opinionOf = ({ weightsSha256, metrics, skipped }: StepReport): string =>
  [weightsSha256, metrics.loss, metrics.correct, metrics.samples, skipped].join(' ');

export class StepBook {
  private readonly pending = new Map<number, Map<string, StepReport>>();
  private readonly lastStep = new Map<string, number>();
  /** Results already settled that a worker may have to repeat: those after the newest checkpoint. */
  private readonly settled: Map<number, string>;
  private readonly waiters = new Map<number, Waiter[]>();

  /** @param past step → weights hash of steps that an earlier start of this run settled. */
  constructor(
    private settledStep: number,
    past: ReadonlyMap<number, string> = new Map(),
  ) {
    this.settled = new Map(past);
  }

  /** The highest settled step. */
  get step(): number {
    return this.settledStep;
  }

  /** The worker holds the state of this step: it will not report it or an earlier one. */
  pass(workerId: string, step: number): void {
    this.lastStep.set(workerId, Math.max(step, this.lastStep.get(workerId) ?? 0));
  }

  /** False when the step is settled already: see `settledHash`. */
  add(workerId: string, report: StepReport): boolean {
    this.pass(workerId, report.step);
    if (report.step <= this.settledStep) return false;
    const reports = this.pending.get(report.step) ?? new Map<string, StepReport>();
    this.pending.set(report.step, reports.set(workerId, report));
    return true;
  }

  /** Hash of a settled step; undefined when it is too old to be remembered, or not settled. */
  settledHash(step: number): string | undefined {
    return this.settled.get(step);
  }

  /** Resolves with the step's settled hash, at once where it has one. @throws CoordError VIEW_CHANGED when it is rewound. */
  whenSettled(step: number): Promise<string> {
    const known = this.settled.get(step);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve, reject) => {
      this.waiters.set(step, [...(this.waiters.get(step) ?? []), { resolve, reject }]);
    });
  }

  /**
   * Settles what can be: in order, every pending step that all members have reported or are past.
   *
   * @param members workers of the view in force; a member that has not reported anything yet holds everything up.
   */
  settle(members: readonly string[]): Settlement[] {
    if (members.length === 0) return [];
    const passed = Math.min(...members.map((id) => this.lastStep.get(id) ?? -1));
    const ripe = [...this.pending.keys()].filter((step) => step <= passed).sort((a, b) => a - b);
    return ripe.map((step) => this.settleStep(step));
  }

  /** Nobody has the steps after `step` any more: they will be reported again. Their results stay for comparison. */
  rewind(step: number): void {
    this.settledStep = Math.min(this.settledStep, step);
    this.pending.clear();
    this.lastStep.clear();
    for (const waiter of [...this.waiters.values()].flat()) waiter.reject(rewound(step));
    this.waiters.clear();
  }

  /** Results up to `step` are in a checkpoint and will not be computed again. */
  forget(step: number): void {
    for (const known of this.settled.keys()) if (known < step) this.settled.delete(known);
  }

  private settleStep(step: number): Settlement {
    const reports = this.pending.get(step)!;
    this.pending.delete(step);
    this.settledStep = step;
    const { majority, dissenters } = countVotes(new Map([...reports].map(([id, report]) => [id, opinionOf(report)])));
    const agreed = [...reports.values()].find((report) => opinionOf(report) === majority);
    return { step, reports, agreed, dissenters };
  }

  /** To be called once a settlement was accepted. @returns the hash that an earlier computation of this step had. */
  remember(step: number, weightsSha256: string): string | undefined {
    const before = this.settled.get(step);
    this.settled.set(step, weightsSha256);
    for (const waiter of this.waiters.get(step) ?? []) waiter.resolve(weightsSha256);
    this.waiters.delete(step);
    return before;
  }
}
