/**
 * Thousands of schedules of faults against the whole system in virtual time. A schedule that fails is shrunk, and printed with the
 * seed that makes it again. More of them: npm run simulate -- 20000.
 */
import { isCoordError } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loneSchedules, networkSchedules, type Schedule, schedules } from './simulation/schedule.js';
import { type Outcome, runOf, Simulation } from './simulation/simulation.js';

/** How a worker ends that was cut off, or not yet in, when the run ended. */
const MISSED_THE_END = ['COORDINATOR_LOST', 'UNREACHABLE', 'LINK_CLOSED', 'JOIN_REFUSED'] as const;

const COUNT = Number(process.env.COORD_SIMULATIONS ?? 120);
const SEED = process.env.COORD_SIMULATION_SEED;
const runsOf = (steps: number) => [runOf({ steps }), runOf({ steps, overlap: 'on' })] as const;
const RUNS = runsOf(12);
/** Newcomers must come before the end. */
const LONE_RUNS = runsOf(90);
/** One worker, of one thread. */
const QUIET: Schedule = { seed: 3, workers: 1, faults: [] };

/** Every other schedule reduces gradients while others compute, which must not change anything either. */
const simulate = (schedule: Schedule, runs = RUNS): Promise<Outcome> =>
  new Simulation(runs[schedule.seed % 2], schedule).play();

/** Weights after each step, from one worker that nobody disturbs. */
const hashesOf = ({ entries }: Outcome): Map<number, string> =>
  new Map(entries.flatMap((entry) => (entry.type === 'step' ? [[entry.step, entry.weightsSha256]] : [])));

const membersByGeneration = ({ entries }: Outcome): Map<number, Set<string>> => {
  const views = new Map<number, Set<string>>();
  for (const entry of entries) {
    if (entry.type !== 'view') continue;
    const known = views.get(entry.generation) ?? new Set();
    views.set(entry.generation, known.add(JSON.stringify(entry.members)));
  }
  return views;
};

function requireInvariants(outcome: Outcome, expected: Map<number, string>): void {
  const { result, entries, events, endings, openConnections, isBusyAfterwards } = outcome;
  const last = expected.size;
  expect(result).toMatchObject({ step: last, weightsSha256: expected.get(last), stopped: false });
  // One result a step, and nothing but it.
  for (const entry of entries) if (entry.type === 'step') expect(entry.weightsSha256).toBe(expected.get(entry.step));
  // Every step stands in the ledger, once, unless the ledger itself says why not.
  const unreported = entries.flatMap((entry) => (entry.type === 'unreported' ? [entry] : []));
  const isUnreported = (step: number) =>
    unreported.some(({ firstStep, lastStep }) => step >= firstStep && step <= lastStep);
  const steps = entries.flatMap((entry) => (entry.type === 'step' ? [entry.step] : []));
  expect(new Set(steps).size).toBe(steps.length);
  for (let step = 1; step <= last; step++) expect(steps.includes(step) || isUnreported(step)).toBe(true);
  // Generations grow, and a generation has one membership.
  const generations = entries.flatMap((entry) => (entry.type === 'view' ? [entry.generation] : []));
  expect(generations).toEqual([...generations].sort((a, b) => a - b));
  for (const [generation, members] of membersByGeneration(outcome))
    expect([generation, members.size]).toEqual([generation, 1]);
  expect(entries.filter(({ type }) => type === 'worker-diverged')).toEqual([]);
  // Nobody is expelled: no fault of a schedule is a worker's own. (Who was merely silent comes back.)
  expect(events.filter((event) => event.event === 'warning' && event.code === 'RING_BROKEN')).toEqual([]);
  // And nobody gives up because another one cannot be reached.
  expect(events.filter((event) => event.event === 'worker-lost' && event.reason.startsWith('UNREACHABLE'))).toEqual([]);
  // Nothing is left behind.
  const failures = endings.flatMap((ending) => (ending.status === 'rejected' ? [ending.reason] : []));
  expect(failures.filter((error) => !isCoordError(error, ...MISSED_THE_END))).toEqual([]);
  expect(openConnections).toBe(0);
  expect(isBusyAfterwards).toBe(false);
}

async function playAll(all: fc.Arbitrary<Schedule>, numRuns: number, runs = RUNS): Promise<void> {
  const expected = hashesOf(await simulate(QUIET, runs));
  expect(expected.size).toBe(runs[0].maxSteps);
  const property = fc.asyncProperty(all, async (schedule) =>
    requireInvariants(await simulate(schedule, runs), expected),
  );
  await fc.assert(property, { numRuns, ...(SEED === undefined ? {} : { seed: Number(SEED) }) });
}

/** Schedules that once found something, under what they found. */
const FOUND: readonly [string, Schedule][] = [
  [
    'a worker that completes the last steps alone, cut off, while those that follow it end the run',
    {
      seed: 0,
      workers: 2,
      faults: [
        { afterMs: 0, fault: { kind: 'partition', worker: 0, from: 'coordinator', forMs: 1 } },
        { afterMs: 66, fault: { kind: 'lose-connection', pick: 0 } },
        { afterMs: 114, fault: { kind: 'lose-connection', pick: 0 } },
        { afterMs: 113, fault: { kind: 'join' } },
        { afterMs: 37, fault: { kind: 'hang-coordinator', forMs: 1 } },
        { afterMs: 93, fault: { kind: 'lose-connection', pick: 0 } },
      ],
    },
  ],
  [
    'a coordinator that dies while its workers come and go',
    {
      seed: 556779680,
      workers: 1,
      faults: [
        { afterMs: 0, fault: { kind: 'drain', worker: 0 } },
        { afterMs: 9, fault: { kind: 'partition', worker: 0, from: 'coordinator', forMs: 1 } },
        { afterMs: 120, fault: { kind: 'drain', worker: 0 } },
        { afterMs: 147, fault: { kind: 'join' } },
        { afterMs: 26, fault: { kind: 'kill-coordinator', backAfterMs: 0 } },
      ],
    },
  ],
  [
    'a worker that copies the state when one of those that hold it cannot be reached, and without which there are too few',
    {
      seed: 964212995,
      workers: 5,
      needsAll: true,
      faults: [
        { afterMs: 969, fault: { kind: 'lose-connection', pick: 0 } },
        { afterMs: 206, fault: { kind: 'partition', worker: 2, from: 'all', forMs: 3634 } },
        { afterMs: 368, fault: { kind: 'partition', worker: 1, from: 'peer', forMs: 3766 } },
        { afterMs: 847, fault: { kind: 'cut', worker: 0, from: 'peer', forMs: 3344 } },
        { afterMs: 324, fault: { kind: 'partition', worker: 7, from: 'all', forMs: 4954 } },
      ],
    },
  ],
];

describe('the whole system in virtual time', () => {
  it('plays a schedule the same way every time', async () => {
    const faults = [
      { afterMs: 40, fault: { kind: 'kill', worker: 1, backAfterMs: 100 } },
      { afterMs: 30, fault: { kind: 'kill-coordinator', backAfterMs: 200 } },
    ] as const;
    const play = async () => {
      const { entries, virtualMs } = await simulate({ seed: 9, workers: 3, faults });
      return JSON.stringify([entries, virtualMs]);
    };
    expect(await play()).toBe(await play());
  });

  it.each(FOUND)('comes to the one result with %s', async (_, schedule) => {
    requireInvariants(await simulate(schedule), hashesOf(await simulate(QUIET)));
  });

  it('waits for a worker that takes minutes for its grains, in the view that there is', async () => {
    const faults = [{ afterMs: 1040, fault: { kind: 'slow', worker: 1, byMs: 70_000, forMs: 400_000 } }] as const;
    const outcome = await simulate({ seed: 8, workers: 3, faults });
    requireInvariants(outcome, hashesOf(await simulate(QUIET)));
    expect(outcome.virtualMs).toBeGreaterThan(140_000);
    expect(outcome.entries.filter(({ type }) => type === 'view')).toHaveLength(1);
  });

  it('goes on without a worker whose compute thread is stuck, within seconds', async () => {
    const faults = [{ afterMs: 1200, fault: { kind: 'stick', worker: 1 } }] as const;
    const outcome = await simulate({ seed: 8, workers: 3, faults });
    requireInvariants(outcome, hashesOf(await simulate(QUIET)));
    const lost = outcome.events.find(({ event }) => event === 'worker-lost');
    expect(lost).toMatchObject({ reason: expect.stringMatching(/^ENGINE_FAILED: compute thread .* is stuck/) });
    expect(outcome.virtualMs).toBeLessThan(30_000);
  });

  it(`comes to the one result through ${COUNT} schedules`, { timeout: 24 * 3600_000 }, () => playAll(schedules, COUNT));

  const loneCount = Math.ceil(COUNT / 12);
  it(`keeps what a host computed alone when others come, in ${loneCount} schedules`, { timeout: 24 * 3600_000 }, () =>
    playAll(loneSchedules, loneCount, LONE_RUNS),
  );

  const networkCount = Math.ceil(COUNT / 4);
  it(`expels nobody for faults of the network in ${networkCount} schedules`, { timeout: 24 * 3600_000 }, () =>
    playAll(networkSchedules, networkCount),
  );
});
