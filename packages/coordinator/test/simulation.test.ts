import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashAt, testRun } from './fixtures.js';
import { Simulation, type SimulationResult, type TimedFault } from './simulation.js';

const RUN = testRun({ epochs: 8, checkpoint: { everySteps: 10, everyEpochs: 0 } });
const LAST = 32;

function checkOutcome({ result, entries, events, workers, leakedTimers }: SimulationResult): void {
  expect(result).toMatchObject({ step: LAST, weightsSha256: hashAt(LAST), stopped: false });
  const steps = entries.filter((entry) => entry.type === 'step');
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: LAST }, (_, index) => index + 1));
  for (const { step, weightsSha256 } of steps) expect(weightsSha256).toBe(hashAt(step));
  const generations = entries.filter((entry) => entry.type === 'view').map(({ generation }) => generation);
  expect(generations).toEqual(generations.map((_, index) => index + 1));
  for (const worker of workers)
    expect(worker.generations).toEqual([...new Set(worker.generations)].sort((a, b) => a - b));
  expect(entries.filter((entry) => entry.type === 'worker-diverged')).toEqual([]);
  expect(events.at(-1)?.event).toBe('finished');
  expect(leakedTimers).toBe(0);
}

async function simulate(workers: number, schedule: readonly TimedFault[]): Promise<SimulationResult> {
  const simulation = new Simulation(RUN, Math.min(workers, 2));
  for (let index = 0; index < workers; index++) simulation.join();
  return simulation.play(schedule);
}

describe('the simulated cluster', () => {
  it('ends undisturbed with one view', async () => {
    const outcome = await simulate(4, []);
    checkOutcome(outcome);
    expect(outcome.entries.filter(({ type }) => type === 'view')).toHaveLength(1);
  });

  it('plays a schedule the same way every time', async () => {
    const schedule: TimedFault[] = [
      { afterMs: 500, fault: { kind: 'hang', worker: 1, forMs: 4000 } },
      { afterMs: 100, fault: { kind: 'break', completed: 1 } },
      { afterMs: 50, fault: { kind: 'kill', worker: 0 } },
      { afterMs: 10, fault: { kind: 'join' } },
    ];
    const [first, second] = [await simulate(4, schedule), await simulate(4, schedule)];
    checkOutcome(first);
    expect(first.entries).toEqual(second.entries);
    expect(first.virtualMs).toBe(second.virtualMs);
  });

  it('loses nothing when every worker is killed at once', async () => {
    const kill = { kind: 'kill', worker: 0 } as const;
    const outcome = await simulate(3, [
      { afterMs: 900, fault: kill },
      { afterMs: 0, fault: kill },
      { afterMs: 0, fault: kill },
    ]);
    checkOutcome(outcome);
  });

  const worker = fc.nat({ max: 7 });
  const fault = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('kill' as const), worker }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('join' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('break' as const), completed: fc.nat({ max: 7 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), worker }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('hang' as const), worker, forMs: fc.integer({ min: 10, max: 6000 }) }),
    },
  );
  const schedule = fc.array(fc.record({ afterMs: fc.nat({ max: 300 }), fault }), { maxLength: 25 });

  it('comes to the one result through any schedule of kills, hangs, joins, leaves and broken rings', async () => {
    const property = fc.asyncProperty(fc.integer({ min: 1, max: 6 }), schedule, async (workers, faults) => {
      checkOutcome(await simulate(workers, faults));
    });
    await fc.assert(property, { numRuns: 200, interruptAfterTimeLimit: 30_000 });
  });

  it('ends at a completed step with its weights, whenever it is stopped', async () => {
    const stopMs = fc.integer({ min: 0, max: 1500 });
    const property = fc.asyncProperty(
      fc.integer({ min: 1, max: 6 }),
      schedule,
      stopMs,
      async (workers, faults, afterMs) => {
        const stop = { afterMs, fault: { kind: 'stop' as const } };
        const { result, entries, leakedTimers } = await simulate(workers, [stop, ...faults]);
        expect(result.weightsSha256).toBe(hashAt(result.step));
        expect(result.stopped).toBe(result.step < LAST);
        expect(entries.at(-1)).toMatchObject({ type: 'finished', step: result.step });
        expect(leakedTimers).toBe(0);
      },
    );
    await fc.assert(property, { numRuns: 100, interruptAfterTimeLimit: 30_000 });
  });

  it('ends at a completed step when it is stopped in the middle of faults', async () => {
    const property = fc.asyncProperty(schedule, schedule, async (before, after) => {
      const stop = { afterMs: 10, fault: { kind: 'stop' as const } };
      const { result, entries } = await simulate(3, [...before, stop, ...after]);
      expect(result.weightsSha256).toBe(hashAt(result.step));
      expect(entries.at(-1)).toMatchObject({ type: 'finished', step: result.step });
    });
    await fc.assert(property, { numRuns: 100, interruptAfterTimeLimit: 30_000 });
  });
});
