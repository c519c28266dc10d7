/**
 * Recovery: how long a change of view holds training up, and with what. It begins when the first cause is noticed here (a loss, a
 * broken ring, a goodbye) and ends with the first completed step of the new view; what lies between, the workers have measured.
 */
import type { RecoveryTimes } from '@coord/protocol';
import type { StepReport } from './step-book.js';

export interface Recovery extends RecoveryTimes {
  readonly generation: number;
  /** The first completed step of the view. */
  readonly step: number;
  readonly reason: string;
  /** From the notice of the cause to the first completed step. */
  readonly totalMs: number;
  /** How long the lost worker had not been heard when its loss was noticed: detection took no longer. Null without a loss. */
  readonly unheardMs: number | null;
}

interface UnderWay {
  readonly noticedMs: number;
  readonly unheardMs: number | null;
  readonly view?: { readonly generation: number; readonly reason: string };
}

export class RecoveryBook {
  private underWay: UnderWay | undefined;

  /**
   * Something that will end the view in force. Only the first cause of a change counts, and the first loss: neighbours often
   * report the broken ring before the loss that broke it is noticed.
   */
  noticed(nowMs: number, unheardMs: number | null = null): void {
    const before = this.underWay ?? { noticedMs: nowMs, unheardMs: null };
    this.underWay = { ...before, unheardMs: before.unheardMs ?? unheardMs };
  }

  viewFormed(nowMs: number, generation: number, reason: string): void {
    const { noticedMs, unheardMs } = this.underWay ?? { noticedMs: nowMs, unheardMs: null };
    this.underWay = { noticedMs, unheardMs, view: { generation, reason } };
  }

  /** @returns the recovery that this step completes, if it does. Every part took as long as its slowest worker. */
  settled(nowMs: number, step: number, reports: ReadonlyMap<string, StepReport>): Recovery | undefined {
    const { view, noticedMs = 0, unheardMs = null } = this.underWay ?? {};
    if (!view) return undefined;
    const told = [...reports.values()].filter(({ generation }) => generation === view.generation);
    const times = told.flatMap(({ recovery }) => recovery ?? []);
    if (told.length === 0) return undefined;
    this.underWay = undefined;
    if (times.length === 0) return undefined;
    const slowest = (part: keyof RecoveryTimes) => Math.max(...times.map((one) => one[part]));
    return {
      ...view,
      step,
      totalMs: nowMs - noticedMs,
      unheardMs,
      viewMs: slowest('viewMs'),
      ringMs: slowest('ringMs'),
      syncMs: slowest('syncMs'),
      grainsMs: slowest('grainsMs'),
      stepMs: slowest('stepMs'),
    };
  }
}

/** To tenths of a millisecond: the clocks know no more. */
export function roundedTimes(recovery: Recovery): Recovery {
  const parts = ['totalMs', 'viewMs', 'ringMs', 'syncMs', 'grainsMs', 'stepMs'] as const;
  const rounded = parts.map((part) => [part, Math.round(recovery[part] * 10) / 10]);
  return { ...recovery, ...Object.fromEntries(rounded) };
}
