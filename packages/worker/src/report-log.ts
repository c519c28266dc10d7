/**
 * What this worker has reported, in order, so that it can say it again to a coordinator that has not written it down. A
 * cursor stands behind what has been handed to the connection of the moment.
 */
import type { WorkerMessageOf } from '@coord/protocol';

export type Report = WorkerMessageOf<'step-report' | 'evaluation-report' | 'finished'>;

/** Two minutes without a coordinator at more than a hundred steps a second; about 10 MB. */
const MAX_REPORTS = 20_000;

export class ReportLog {
  #reports: Report[] = [];
  #cursor = 0;

  constructor(private readonly limit = MAX_REPORTS) {}

  get size(): number {
    return this.#reports.length;
  }

  /** The oldest reports are forgotten beyond the limit, in large pieces. */
  add(report: Report): void {
    this.#reports.push(report);
    if (this.#reports.length < this.limit * 2) return;
    const forgotten = this.#reports.length - this.limit;
    this.#reports = this.#reports.slice(forgotten);
    this.#cursor = Math.max(0, this.#cursor - forgotten);
  }

  /** The next report to hand over, undefined when all are. */
  take(): Report | undefined {
    const report = this.#reports[this.#cursor];
    if (report) this.#cursor++;
    return report;
  }

  /** Nobody will ask again for what is on the coordinator's disk. */
  forget(recordedStep: number): void {
    const isKept = (report: Report, index: number) => index >= this.#cursor || !isSettled(report, recordedStep);
    const kept = this.#reports.findIndex(isKept);
    const count = kept < 0 ? this.#reports.length : kept;
    this.#reports.splice(0, count);
    this.#cursor -= count;
  }

  /** A coordinator that has everything up to `settledStep` must hear the rest. */
  rewind(settledStep: number): void {
    const first = this.#reports.findIndex((report) => !isSettled(report, settledStep));
    this.#cursor = first < 0 ? this.#reports.length : first;
  }
}

/** An evaluation follows its step, so a settled step says nothing about its own evaluation. */
function isSettled(report: Report, settledStep: number): boolean {
  if (report.type === 'finished') return false;
  return report.type === 'step-report' ? report.step <= settledStep : report.step < settledStep;
}
