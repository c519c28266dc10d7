import { describe, expect, it } from 'vitest';
import { AbsenceLog, calmSpans, meanCapacity } from '../src/chaos/capacity.js';
import { StepProgress } from '../src/chaos/progress.js';
import { driftOf } from '../src/chaos/report.js';
import { growthOf, type Sample } from '../src/chaos/resources.js';

describe('the progress of a run', () => {
  const progress = new StepProgress();
  for (const [index, atMs] of [0, 10, 20, 500, 510, 520, 2000].entries()) progress.note(index + 1, atMs);

  it('counts steps in a span', () => {
    expect(progress.countBetween(10, 510)).toBe(3);
    expect(progress.countBetween(3000, 4000)).toBe(0);
  });

  it('finds the longest pause that overlaps a span', () => {
    expect(progress.longestPauseMs(100, 200)).toBe(480);
    expect(progress.longestPauseMs(505, 515)).toBe(10);
    expect(progress.longestPauseMs(0, 3000)).toBe(1480);
  });

  it('wakes who waits for a step, also for one that was passed over', async () => {
    const waited = progress.reached(9);
    progress.note(12, 2100);
    await waited;
    await progress.reached(3);
  });
});

describe('the mean capacity', () => {
  it('counts every absence for as long as it was in the span', () => {
    const absences = [
      { fromMs: -50, toMs: 50 },
      { fromMs: 20, toMs: Number.POSITIVE_INFINITY },
      { fromMs: 200, toMs: 300 },
    ];
    expect(meanCapacity([], 4, 0, 100)).toBe(1);
    expect(meanCapacity(absences, 4, 0, 100)).toBeCloseTo(1 - (50 + 80) / 400);
  });
});

describe('calm', () => {
  it('is what is left between disturbances that may overlap, and some time after each', () => {
    const disturbances = [
      { fromMs: 300, toMs: 350 },
      { fromMs: 100, toMs: 200 },
      { fromMs: 120, toMs: 150 },
      { fromMs: 390, toMs: 900 },
    ];
    expect(calmSpans(disturbances, 0, 1000, 50)).toEqual([
      { fromMs: 0, toMs: 100 },
      { fromMs: 250, toMs: 300 },
      { fromMs: 950, toMs: 1000 },
    ]);
    expect(calmSpans([], 0, 10, 5)).toEqual([{ fromMs: 0, toMs: 10 }]);
    expect(calmSpans([{ fromMs: -5, toMs: 20 }], 0, 10, 5)).toEqual([]);
  });
});

describe('the drift of a measurement', () => {
  const throughput = { calmSeconds: 1, stepsPerSecondDisturbed: 70, capacity: 0.8, kept: 0.7, keptOfCapacity: 0.9 };

  it('is the largest difference of what was measured undisturbed', () => {
    const rates = { stepsPerSecondBefore: 100, stepsPerSecondAfter: 95, stepsPerSecondBetween: 98 };
    expect(driftOf({ ...throughput, ...rates })).toBeCloseTo(0.05);
    expect(driftOf({ ...throughput, ...rates, stepsPerSecondBetween: undefined })).toBeCloseTo(0.05);
    expect(driftOf({ ...throughput, ...rates, stepsPerSecondBetween: 80 })).toBeCloseTo(0.2);
  });
});

describe('absences', () => {
  it('begin once and end once, also when a worker is killed before it was back', () => {
    const log = new AbsenceLog();
    log.leave('one', 10);
    log.leave('one', 20);
    log.leave('two', 30);
    log.comeBack('one', 40);
    log.comeBack('one', 50);
    expect(log.isEverybodyThere).toBe(false);
    expect(log.all(100)).toEqual([
      { fromMs: 10, toMs: 40 },
      { fromMs: 30, toMs: 100 },
    ]);
  });
});

describe('the growth of a process', () => {
  const MB = 1024 * 1024;
  const life = (rssOf: (at: number) => number, openFiles = (_: number) => 30) =>
    Array.from(
      { length: 60 },
      (_, at): Sample => ({
        ...{ atMs: at * 5000, heapBytes: 20 * MB, threads: 11, handles: 9 },
        rssBytes: rssOf(at),
        openFiles: openFiles(at),
      }),
    );
  const growing = (samples: Sample[]) =>
    growthOf([{ who: 'worker 1', pid: 1, samples }])
      .filter(({ grows }) => grows)
      .map(({ quantity }) => quantity);

  it('is not seen in a life that warms up and breathes', () => {
    expect(growing(life((at) => (at < 12 ? 80 + at * 10 : 200 + (at % 7) * 5) * MB))).toEqual([]);
  });

  it('is seen in memory and in files', () => {
    expect(growing(life((at) => (100 + at * 4) * MB))).toEqual(['rssBytes']);
    expect(
      growing(
        life(
          () => 100 * MB,
          (at) => 30 + Math.floor(at / 3),
        ),
      ),
    ).toEqual(['openFiles']);
  });

  it('is not judged in a short life', () => {
    expect(growthOf([{ who: 'worker 1', pid: 1, samples: life((at) => at * MB).slice(0, 5) }])).toEqual([]);
  });
});
