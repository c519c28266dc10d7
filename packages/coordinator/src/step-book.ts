/**
 * Step book: collects what workers report about each step, and settles steps in order. A step is settled when every member
 * of the view is past it; by then all its reports are in, and they must be the same.
 */
import type { WorkerMessageOf } from '@coord/protocol';
import { HashLog } from './hash-log.js';
import { countVotes } from './votes.js';

export type StepReport = WorkerMessageOf<'step-report'>;

export interface Settlement {
  readonly step: number;
  /** Worker id → its report. */
  readonly reports: ReadonlyMap<string, StepReport>;
  /** A report of the majority; undefined when no result has one. */
  readonly agreed: StepReport | undefined;
  readonly dissenters: readonly string[];
  /** Steps before this one that were completed (others hold their state) and that nobody lived to report. */
  readonly skipped: readonly number[];
}

/** Equal text, equal result. Times and own samples are each worker's own. */
const opinionOf = ({ weightsSha256, metrics, skipped }: StepReport): string =>
  [weightsSha256, metrics.loss, metrics.correct, metrics.samples, metrics.tally, skipped].join(' ');

export class StepBook {
  private readonly pending = new Map<number, Map<string, StepReport>>();
  private readonly lastStep = new Map<string, number>();
  private readonly waiters = new Map<number, ((weightsSha256: string | undefined) => void)[]>();

  /** @param settled results that are known already: what an earlier start of this run settled. */
  constructor(
    private settledStep: number,
    private readonly settled: HashLog = new HashLog(),
  ) {}

  /** The highest settled step. */
  get step(): number {
    return this.settledStep;
  }

  /** The worker holds the state of this step: it will not report it or an earlier one. */
  pass(workerId: string, step: number): void {
    this.lastStep.set(workerId, Math.max(step, this.lastStep.get(workerId) ?? 0));
  }

  /** A worker holds this step, which an earlier start has settled: nobody will be asked about it again. */
  advance(step: number): void {
    this.settledStep = Math.max(this.settledStep, step);
    for (const pending of this.pending.keys()) if (pending <= step) this.pending.delete(pending);
  }

  /** False when the step is settled already: see `settledHash`. */
  add(workerId: string, report: StepReport): boolean {
    this.pass(workerId, report.step);
    if (report.step <= this.settledStep) return false;
    const reports = this.pending.get(report.step) ?? new Map<string, StepReport>();
    this.pending.set(report.step, reports.set(workerId, report));
    return true;
  }

  /** Hash of a settled step; undefined when it is not settled. */
  settledHash(step: number): string | undefined {
    return this.settled.get(step);
  }

  /**
   * Resolves with the step's settled hash, at once where it has one, or with undefined as soon as it is clear that nobody has
   * lived to report it. Whoever waits must watch its worker meanwhile.
   */
  whenSettled(step: number): Promise<string | undefined> {
    const known = this.settled.get(step);
    if (known !== undefined || step <= this.settledStep) return Promise.resolve(known);
    return new Promise((resolve) => {
      this.waiters.set(step, [...(this.waiters.get(step) ?? []), resolve]);
    });
  }

  /**
   * All members hold this step and say that it is the last one, with these weights. Those that completed it may be gone, and
   * their reports with them.
   *
   * @returns steps that nobody has reported.
   */
  conclude(step: number, weightsSha256: string): readonly number[] {
    if (step <= this.settledStep) return [];
    const unreported = this.missingBefore(step + 1);
    this.advance(step);
    this.remember(step, weightsSha256);
    this.giveUp(unreported);
    return unreported;
  }

  /** The worker has gone back to the state of this step: what it said about later ones is void. */
  retreat(workerId: string, step: number): void {
    this.lastStep.set(workerId, step);
    for (const [pending, reports] of this.pending) {
      if (pending <= step) continue;
      reports.delete(workerId);
      if (reports.size === 0) this.pending.delete(pending);
    }
  }

  /**
   * Settles what can be: in order, every pending step that all members have reported or are past. A step without a majority
   * is not settled; it comes last, and those after it have to wait.
   *
   * @param members workers of the view in force; a member that has not reported anything yet holds everything up.
   */
  settle(members: readonly string[]): Settlement[] {
    if (members.length === 0) return [];
    const passed = Math.min(...members.map((id) => this.lastStep.get(id) ?? -1));
    const ripe = [...this.pending.keys()].filter((step) => step <= passed).sort((a, b) => a - b);
    const settlements: Settlement[] = [];
    for (const step of ripe) {
      const settlement = this.settleStep(step);
      settlements.push(settlement);
      if (!settlement.agreed) break;
    }
    return settlements;
  }

  /** Someone has reported a step after this one. */
  isPassed(step: number): boolean {
    return [...this.pending.keys()].some((pending) => pending > step);
  }

  /**
   * The steps after `step` are being computed again: nobody held them any more. Their results stay for comparison; what
   * workers that are gone said about further steps does not.
   */
  rewind(step: number): void {
    this.settledStep = Math.min(this.settledStep, step);
    this.pending.clear();
  }

  private settleStep(step: number): Settlement {
    const skipped = this.missingBefore(step);
    const reports = this.pending.get(step)!;
    const { majority, dissenters } = countVotes(new Map([...reports].map(([id, report]) => [id, opinionOf(report)])));
    const agreed = [...reports.values()].find((report) => opinionOf(report) === majority);
    if (agreed) {
      this.pending.delete(step);
      this.settledStep = step;
      this.giveUp(skipped);
    }
    return { step, reports, agreed, dissenters, skipped };
  }

  /** Steps between the last settled one and this that nobody ever reported. */
  private missingBefore(step: number): number[] {
    const between = Array.from({ length: step - this.settledStep - 1 }, (_, index) => this.settledStep + 1 + index);
    return between.filter((missing) => this.settled.get(missing) === undefined);
  }

  /** To be called once a settlement was accepted. @returns the hash that an earlier computation of this step had. */
  remember(step: number, weightsSha256: string): string | undefined {
    const before = this.settled.get(step);
    this.settled.set(step, weightsSha256);
    this.wake(step, weightsSha256);
    return before;
  }

  private giveUp(unreported: readonly number[]): void {
    for (const step of unreported) this.wake(step, undefined);
  }

  private wake(step: number, weightsSha256: string | undefined): void {
    for (const resolve of this.waiters.get(step) ?? []) resolve(weightsSha256);
    this.waiters.delete(step);
  }
}
