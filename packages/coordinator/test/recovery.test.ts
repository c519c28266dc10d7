import { describe, expect, it } from 'vitest';
import { RecoveryBook, roundedTimes } from '../src/recovery.js';
import type { StepReport } from '../src/step-book.js';
import { stepReport } from './fixtures.js';

const parts = (viewMs: number) => ({ viewMs, ringMs: 3, syncMs: 4, grainsMs: 5, stepMs: 6 });
const reports = (...all: StepReport[]) => new Map(all.map((report, index) => [`w${index}`, report]));

describe('a recovery', () => {
  it('goes from the first notice to the first step of the new view; each part takes as long as its slowest worker', () => {
    const book = new RecoveryBook();
    book.noticed(100);
    book.noticed(105, 12);
    book.noticed(106, 40);
    book.viewFormed(110, 2, 'w4 was lost');
    // The last reports of the view before do not count.
    expect(book.settled(120, 7, reports(stepReport(7, { generation: 1 })))).toBeUndefined();
    const told = [10, 20].map((viewMs) => stepReport(8, { generation: 2, recovery: parts(viewMs) }));
    expect(book.settled(150, 8, reports(...told))).toEqual({
      generation: 2,
      reason: 'w4 was lost',
      step: 8,
      totalMs: 50,
      unheardMs: 12,
      ...parts(20),
    });
    expect(book.settled(160, 9, reports(stepReport(9, { generation: 2 })))).toBeUndefined();
  });

  it('goes on through a view that broke before its first step', () => {
    const book = new RecoveryBook();
    book.noticed(100, 12);
    book.viewFormed(110, 2, 'w4 was lost');
    book.noticed(115, 3);
    book.viewFormed(120, 3, 'w3 was lost');
    const recovery = book.settled(150, 8, reports(stepReport(8, { generation: 3, recovery: parts(1) })));
    expect(recovery).toMatchObject({ generation: 3, reason: 'w3 was lost', totalMs: 50 });
  });

  it('is none when training begins', () => {
    const book = new RecoveryBook();
    book.viewFormed(110, 1, 'enough workers');
    expect(book.settled(120, 1, reports(stepReport(1)))).toBeUndefined();
  });

  it('is told in tenths of a millisecond', () => {
    const recovery = { generation: 2, step: 1, reason: '', unheardMs: null, totalMs: 1.26, ...parts(0.04) };
    expect(roundedTimes(recovery)).toMatchObject({ totalMs: 1.3, viewMs: 0, ringMs: 3 });
  });
});
