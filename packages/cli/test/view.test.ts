import type { CoordinatorEvent, RunResult, StepEvent } from '@coord/coordinator';
import { describe, expect, it } from 'vitest';
import { colorsFor } from '../src/colors.js';
import { advance, barLine, eventLine, initialProgress, type Plan, progressLine } from '../src/view/progress.js';
import { finishedLine, summaryLines } from '../src/view/summary.js';
import { createBarView, createJsonView, createLineView } from '../src/view/view.js';

const PLAN: Plan = {
  epochs: 5,
  totalSteps: 4690,
  stepsPerEpoch: 938,
  globalBatch: 64,
  noun: 'images',
};
const HASH = 'ab'.repeat(32);

const step = (number: number, more: Partial<StepEvent> = {}): StepEvent => ({
  event: 'step',
  step: number,
  totalSteps: 4690,
  epoch: 0,
  loss: 0.25,
  accuracy: 0.92,
  metrics: {},
  samples: 64,
  weightsSha256: HASH,
  samplesPerSecond: 3200,
  skipped: false,
  requantised: false,
  times: {},
  ownSamples: {},
  ...more,
});
const view = (members: number, workers = members): CoordinatorEvent => ({
  event: 'view',
  generation: 1,
  members: Array.from({ length: members }, (_, index) => `w${index}`),
  workers,
  reason: 'two workers are ready',
});
const evaluation: CoordinatorEvent = {
  event: 'evaluation',
  step: 938,
  epoch: 1,
  loss: 0.05,
  accuracy: 0.9876,
  metrics: {},
  samples: 10000,
  durationMs: 1500,
};

const fold = (...events: CoordinatorEvent[]) => events.reduce(advance, initialProgress(PLAN));

/** A terminal's memory: everything written, and the time that tests turn. */
function recorder(columns?: number) {
  const written: string[] = [];
  return { written, output: { write: (text: string) => written.push(text), isTTY: columns !== undefined, columns } };
}

describe('progress', () => {
  it('waits for workers until there is a step', () => {
    expect(progressLine(fold())).toBe('waiting for workers to join');
    expect(progressLine(fold({ event: 'waiting', present: 1, needed: 2, reason: 'below minWorkers' }))).toBe(
      'waiting for workers (1 of 2)',
    );
  });

  it('says epoch, step, loss, accuracy, rate, time left and workers', () => {
    expect(progressLine(fold(view(2), step(938)))).toBe(
      'epoch 1/5 · step 938/4,690 · loss 0.2500 · accuracy 92.00 % · 3,200 images/s · ETA 1 min 15 s · 2 workers',
    );
  });

  it('leaves accuracy out where it means nothing, and shows what is measured instead', () => {
    const progress = advance(initialProgress(PLAN), step(1, { accuracy: null, metrics: { mae: 0.125 } }));
    expect(progressLine(progress)).toContain('loss 0.2500 · mae 0.1250 · 3,200');
  });

  it('says again that it waits when workers are lost on the way', () => {
    const progress = fold(view(2), step(3), { event: 'waiting', present: 0, needed: 2, reason: 'all are gone' });
    expect(progressLine(progress)).toBe('waiting for workers (0 of 2)');
    expect(progressLine(advance(advance(progress, view(1)), step(4)))).toContain('step 4/');
  });

  it.each([5, 20, 40, 60, 83, 84, 100, 120, 200])('fits into %i columns with its bar', (columns) => {
    expect(barLine(fold(view(2), step(938)), columns).length).toBeLessThan(columns);
  });

  it('leaves out what does not fit as a whole: a number that is cut says something else', () => {
    const parts = progressLine(fold(view(2), step(938))).split(' · ');
    for (let columns = 12; columns < 84; columns++) {
      const shown = barLine(fold(view(2), step(938)), columns).split(' · ');
      expect(shown).toEqual(parts.slice(0, shown.length));
    }
  });
});

describe('what stays in the scroll', () => {
  it('is every event but steps', () => {
    expect(eventLine(PLAN, step(1))).toBeUndefined();
    expect(eventLine(PLAN, evaluation)).toBe(
      'epoch 1/5 done: test accuracy 98.76 % · test loss 0.0500 · 10,000 samples in 1.5 s',
    );
    expect(eventLine(PLAN, view(2))).toBe('ring of 2 workers (generation 1): two workers are ready');
    expect(eventLine(PLAN, view(1, 4))).toBe('ring of 1 host with 4 workers (generation 1): two workers are ready');
    expect(progressLine(fold(view(1, 4), step(1)))).toContain('4 workers');
    expect(
      eventLine(PLAN, { event: 'worker-lost', workerId: 'w1', name: 'gpu-3', left: false, reason: 'heartbeat missed' }),
    ).toBe('worker gpu-3 was lost: heartbeat missed');
  });
});

describe('the view', () => {
  it('of a pipe writes a line at every evaluation and every five seconds', () => {
    let now = 0;
    const { written, output } = recorder();
    const lines = createLineView(output, PLAN, () => now);
    lines.event(step(1));
    now = 4999;
    lines.event(step(2));
    expect(written).toEqual([]);
    now = 5000;
    lines.event(step(3));
    expect(written.join('')).toContain('step 3/4,690');
    lines.event(evaluation);
    expect(written.join('').split('\n').at(-2)).toContain('test accuracy 98.76 %');
    expect(written.join('')).not.toContain('\x1b');
  });

  it('of a terminal redraws one line, at most ten times a second, and scrolls events above it', () => {
    let now = 0;
    const { written, output } = recorder(120);
    const bar = createBarView(output, PLAN, colorsFor({ write: () => 0 }, {}), () => now);
    bar.event(step(1));
    bar.event(step(2));
    expect(written).toHaveLength(1);
    now = 100;
    bar.event(step(3));
    expect(written).toHaveLength(2);
    bar.event(evaluation);
    expect(written[2].startsWith('\r\x1b[2Kepoch 1/5 done')).toBe(true);
    expect(written[2].endsWith('\n')).toBe(true);
    expect(written[3]).toContain('step 3/4,690');
    bar.close();
    expect(written.at(-1)).toBe('\r\x1b[2K');
  });

  it('for scripts writes an object a line, and leaves the last line to the summary', () => {
    const { written, output } = recorder();
    const notes = recorder();
    const json = createJsonView(output, notes.output);
    json.event(step(1));
    json.event({ event: 'finished', ...RESULT });
    json.say('a word to people');
    expect(written.map((line) => JSON.parse(line))).toEqual([step(1)]);
    expect(notes.written).toEqual(['a word to people\n']);
  });
});

const RESULT: RunResult = {
  step: 4690,
  epoch: 5,
  weightsSha256: HASH,
  stopped: false,
  testMetrics: { loss: 0.03, accuracy: 0.991, metrics: { f1: 0.98 }, samples: 10000, step: 4690, epoch: 5 },
  samples: 300000,
  seconds: 100,
  workers: 2,
  checkpointPath: 'runs/x/checkpoints/step-00004690',
};

describe('the summary', () => {
  it('is one object with everything that scripts look for', () => {
    expect(finishedLine(RESULT, 'runs/x')).toEqual({
      event: 'finished',
      steps: 4690,
      epochs: 5,
      testAccuracy: 0.991,
      testLoss: 0.03,
      testMetrics: { f1: 0.98 },
      weightsSha256: HASH,
      samplesPerSecond: 3000,
      seconds: 100,
      workers: 2,
      runDir: 'runs/x',
      stopped: false,
      checkpoint: 'runs/x/checkpoints/step-00004690',
    });
  });

  it('tells people accuracy, time, rate in all and for each worker, directory and hash', () => {
    const text = summaryLines(finishedLine(RESULT, 'runs/x'), PLAN).join('\n');
    expect(text).toContain('finished after 4,690 steps');
    expect(text).toContain('99.10 % on the test split');
    expect(text).toMatch(/f1 +98.00 % on the test split/);
    expect(text).toContain('1 min 40 s');
    expect(text).toContain('3,000 images/s in all, 1,500 for each of 2 workers');
    expect(text).toContain('runs/x');
    expect(text).toContain(`SHA-256 ${HASH}`);
  });

  it('says that it was stopped, and has nulls where nothing was evaluated', () => {
    const line = finishedLine({ ...RESULT, stopped: true, testMetrics: undefined }, 'runs/x');
    expect(line).toMatchObject({ testAccuracy: null, testLoss: null, stopped: true });
    expect(summaryLines(line, PLAN)[0]).toContain('stopped after 4,690 steps');
  });
});
