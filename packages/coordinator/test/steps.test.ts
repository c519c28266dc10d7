import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HashLog } from '../src/hash-log.js';
import { cursorAfter, epochOf, epochsCompleted, isCheckpointDue, totalStepsOf } from '../src/schedule.js';
import { StepBook } from '../src/step-book.js';
import { Throughput } from '../src/throughput.js';
import { countVotes } from '../src/votes.js';
import { hashAt, stepReport, testRun } from './fixtures.js';

describe('votes', () => {
  it('need more than half', () => {
    const verdict = (...opinions: string[]) =>
      countVotes(new Map(opinions.map((opinion, index) => [`w${index + 1}`, opinion])));
    expect(verdict('a')).toEqual({ majority: 'a', dissenters: [] });
    expect(verdict('a', 'a', 'b')).toEqual({ majority: 'a', dissenters: ['w3'] });
    expect(verdict('a', 'b')).toEqual({ majority: undefined, dissenters: ['w1', 'w2'] });
    expect(verdict('a', 'a', 'b', 'b')).toMatchObject({ majority: undefined });
    expect(verdict('b', 'a', 'c', 'a', 'a')).toEqual({ majority: 'a', dissenters: ['w1', 'w3'] });
  });
});

describe('the step book', () => {
  it('settles a step when every member has reported it', () => {
    const book = new StepBook(0);
    book.add('w1', stepReport(1));
    expect(book.settle(['w1', 'w2'])).toEqual([]);
    book.add('w2', stepReport(1));
    expect(book.settle(['w1', 'w2'])).toMatchObject([
      { step: 1, dissenters: [], agreed: { weightsSha256: hashAt(1) } },
    ]);
    expect(book.settle(['w1', 'w2'])).toEqual([]);
  });

  it('settles nothing without members', () => {
    const book = new StepBook(0);
    book.add('w1', stepReport(1));
    expect(book.settle([])).toEqual([]);
  });

  it('settles without a member that is gone, but counts what it said', () => {
    const book = new StepBook(0);
    book.add('w1', stepReport(1));
    book.add('w2', stepReport(1, { weightsSha256: hashAt(1, 0.5) }));
    book.add('w3', stepReport(1));
    expect(book.settle(['w1', 'w3'])).toMatchObject([{ step: 1, dissenters: ['w2'] }]);
  });

  it('does not wait for a newcomer that holds the step already', () => {
    const book = new StepBook(0);
    book.add('w1', stepReport(1));
    expect(book.settle(['w1', 'w2'])).toEqual([]);
    book.pass('w2', 1);
    expect(book.settle(['w1', 'w2'])).toHaveLength(1);
  });

  it('settles every step once and in order, whatever the order of the reports between workers', () => {
    const interleaving = fc.array(fc.nat({ max: 2 }), { maxLength: 60 });
    fc.assert(
      fc.property(interleaving, (turns) => {
        const book = new StepBook(0);
        const ids = ['w1', 'w2', 'w3'];
        const next = [1, 1, 1];
        const settled: number[] = [];
        const play = (turn: number) => {
          book.add(ids[turn], stepReport(next[turn]++));
          settled.push(...book.settle(ids).map(({ step }) => step));
        };
        turns.forEach(play);
        expect(settled).toEqual(Array.from({ length: Math.min(...next) - 1 }, (_, index) => index + 1));
      }),
    );
  });

  it('knows the results of settled steps, also of an earlier start', () => {
    const past = new HashLog();
    past.set(5, hashAt(5));
    const book = new StepBook(0, past);
    expect(book.settledHash(5)).toBe(hashAt(5));
    expect(book.remember(5, hashAt(5))).toBe(hashAt(5));
    expect(book.remember(6, hashAt(6))).toBeUndefined();
    expect(book.settledHash(6)).toBe(hashAt(6));
    expect(book.settledHash(7)).toBeUndefined();
  });

  it('lets those wait who need a result', async () => {
    const book = new StepBook(0);
    const one = book.whenSettled(1);
    book.remember(1, hashAt(1));
    expect(await one).toBe(hashAt(1));
    expect(await book.whenSettled(1)).toBe(hashAt(1));
  });

  it('lets nobody wait for a result that nobody lived to report', async () => {
    const book = new StepBook(0);
    const one = book.whenSettled(1);
    book.add('w1', stepReport(2));
    expect(book.settle(['w1'])).toMatchObject([{ step: 2, skipped: [1] }]);
    book.remember(2, hashAt(2));
    expect(await one).toBeUndefined();
    expect(await book.whenSettled(1)).toBeUndefined();
  });

  it('takes the last step from those who hold it, when whoever completed it is gone', async () => {
    const book = new StepBook(0);
    book.add('w1', stepReport(1));
    book.settle(['w1']);
    book.remember(1, hashAt(1));
    const waiting = [3, 4].map((step) => book.whenSettled(step));
    expect(book.conclude(4, hashAt(4))).toEqual([2, 3, 4]);
    expect(await Promise.all(waiting)).toEqual([undefined, hashAt(4)]);
    expect(book.step).toBe(4);
    expect(book.conclude(4, hashAt(4))).toEqual([]);
  });

  it('names the steps that nobody reported, unless an earlier computation did', () => {
    const past = new HashLog();
    past.set(2, hashAt(2));
    const book = new StepBook(0, past);
    book.add('w1', stepReport(1));
    book.settle(['w1']);
    book.add('w1', stepReport(5));
    expect(book.settle(['w1'])).toMatchObject([{ step: 5, skipped: [3, 4] }]);
  });

  it('takes a settled step again only after a rewind', () => {
    const book = new StepBook(0);
    book.add('w1', stepReport(1));
    book.settle(['w1']);
    expect(book.add('w1', stepReport(1))).toBe(false);
    book.rewind(0);
    expect(book.add('w2', stepReport(1))).toBe(true);
    expect(book.settle(['w2'])).toHaveLength(1);
  });
});

describe('the hash log', () => {
  it('keeps hashes of steps however far apart', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 100_000 }), { maxLength: 20 }), (steps) => {
        const log = new HashLog();
        for (const step of steps) log.set(step, hashAt(step % 7, step / 1000));
        for (const step of steps) expect(log.get(step)).toBe(hashAt(step % 7, step / 1000));
        expect(log.get(100_001)).toBeUndefined();
      }),
      { numRuns: 20 },
    );
  });
});

describe('the schedule', () => {
  it('knows epochs and cursors', () => {
    const run = testRun();
    expect(totalStepsOf(run)).toBe(8);
    expect([1, 4, 5, 8].map((step) => epochOf(run, step))).toEqual([0, 0, 1, 1]);
    expect([0, 3, 4, 8].map((step) => epochsCompleted(run, step))).toEqual([0, 0, 1, 2]);
    expect(cursorAfter(run, 5)).toEqual({ epoch: 1, position: 16 });
    expect(cursorAfter(run, 8)).toEqual({ epoch: 2, position: 0 });
  });

  it('knows when a checkpoint is due', () => {
    const dueSteps = (everySteps: number, everyEpochs: number) => {
      const run = testRun({ checkpoint: { everySteps, everyEpochs } });
      return [1, 2, 3, 4, 5, 6, 7, 8].filter((step) => isCheckpointDue(run, step));
    };
    expect(dueSteps(0, 0)).toEqual([]);
    expect(dueSteps(3, 0)).toEqual([3, 6]);
    expect(dueSteps(0, 1)).toEqual([4, 8]);
    expect(dueSteps(0, 2)).toEqual([8]);
    expect(dueSteps(3, 1)).toEqual([3, 4, 6, 8]);
  });
});

describe('throughput', () => {
  it('is samples over time of the last steps', () => {
    const throughput = new Throughput();
    expect(throughput.samplesPerSecond).toBe(0);
    throughput.restart(1000);
    throughput.add(1500, 50);
    throughput.add(2000, 50);
    expect(throughput.samplesPerSecond).toBe(100);
    for (let step = 1; step <= 40; step++) throughput.add(2000 + step * 100, 50);
    expect(throughput.samplesPerSecond).toBeCloseTo(500);
    throughput.restart(9000);
    expect(throughput.samplesPerSecond).toBe(0);
  });

  it('counts the time for which reports had to wait, when they come all at once', () => {
    const throughput = new Throughput();
    throughput.restart(0);
    for (let step = 1; step <= 200; step++) throughput.add(step * 10, 50);
    expect(throughput.samplesPerSecond).toBeCloseTo(5000);
    for (let step = 1; step <= 30; step++) throughput.add(2300 + step * 0.1, 50);
    expect(throughput.samplesPerSecond).toBeGreaterThan(4000);
    expect(throughput.samplesPerSecond).toBeLessThan(6000);
  });
});
