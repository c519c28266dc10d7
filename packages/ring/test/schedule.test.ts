import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  allGatherSchedule,
  allReduceSchedule,
  phaseOf,
  type Schedule,
  type Segment,
  slotsNeeded,
} from '../src/schedule.js';

const sizes = fc.integer({ min: 2, max: 9 });
const counts = fc.integer({ min: 0, max: 300 });
const segmentSizes = fc.integer({ min: 1, max: 64 });

const sentInStep = (schedule: Schedule, step: number): Segment[] =>
  [...schedule.sends].filter((segment) => segment.step === step);

describe('the ring schedule', () => {
  it('makes every rank receive exactly what its neighbour sends, in the same order', () => {
    fc.assert(
      fc.property(sizes, counts, segmentSizes, (size, count, segmentBytes) => {
        const schedules = Array.from({ length: size }, (_, rank) =>
          allReduceSchedule({ rank, size }, count * 4, 4, segmentBytes),
        );
        for (let rank = 0; rank < size; rank++) {
          const prev = schedules[(rank + size - 1) % size];
          expect([...schedules[rank].receives]).toEqual([...prev.sends]);
        }
      }),
    );
  });

  it('brings every contribution to every rank exactly once', () => {
    fc.assert(
      fc.property(sizes, counts, segmentSizes, (size, count, segmentBytes) => {
        const schedules = Array.from({ length: size }, (_, rank) =>
          allReduceSchedule({ rank, size }, count, 1, segmentBytes),
        );
        // Contributions held for every byte, as a multiset: how often each rank's is contained.
        const held = schedules.map(({ rank }) =>
          Array.from({ length: count }, () => Array.from({ length: size }, (_, other) => (other === rank ? 1 : 0))),
        );
        for (let step = 0; step < schedules[0].steps; step++) {
          const messages = schedules.map((schedule) =>
            sentInStep(schedule, step).flatMap(({ start, end }) =>
              held[schedule.rank]
                .slice(start, end)
                .map((content, index) => ({ at: start + index, content: [...content] })),
            ),
          );
          for (const schedule of schedules) {
            for (const { at, content } of messages[(schedule.rank + size - 1) % size]) {
              const mine = held[schedule.rank][at];
              const combines = phaseOf(schedule, step) === 'reduce-scatter';
              held[schedule.rank][at] = combines ? mine.map((times, rank) => times + content[rank]) : content;
            }
          }
        }
        for (const bytes of held) {
          for (const contributions of bytes) expect(contributions.every((times) => times === 1)).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('never cuts through an element, and covers each chunk without gaps', () => {
    fc.assert(
      fc.property(sizes, counts, segmentSizes, (size, count, segmentBytes) => {
        const schedule = allReduceSchedule({ rank: 0, size }, count * 4, 4, segmentBytes);
        let covered = 0;
        for (let chunk = 0; chunk < size; chunk++) {
          for (const { start, end } of sentInStep(schedule, (size - chunk) % size)) {
            expect(start).toBe(covered);
            expect(end).toBeGreaterThan(start);
            expect(start % 4).toBe(0);
            covered = end;
          }
        }
        expect(covered).toBe(count * 4);
      }),
    );
  });

  it('cuts only between units, whatever the total; chunks differ by at most one unit', () => {
    fc.assert(
      fc.property(sizes, counts, fc.integer({ min: 1, max: 50 }), (size, totalBytes, unitBytes) => {
        const { chunkStarts } = allReduceSchedule({ rank: 0, size }, totalBytes, unitBytes, 10);
        expect(chunkStarts[size]).toBe(totalBytes);
        for (const start of chunkStarts.slice(0, -1))
          expect(start % unitBytes === 0 || start === totalBytes).toBe(true);
        const units = chunkStarts.slice(1).map((end, chunk) => Math.ceil((end - chunkStarts[chunk]) / unitBytes));
        expect(Math.max(...units) - Math.min(...units)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('sends nothing on before it has arrived, and never has more under way than there are slots', () => {
    fc.assert(
      fc.property(sizes, counts, segmentSizes, (size, count, segmentBytes) => {
        for (let rank = 0; rank < size; rank++) {
          const schedule = allReduceSchedule({ rank, size }, count, 1, segmentBytes);
          const received = [...schedule.receives];
          const name = ({ step, index }: Segment) => `${step}/${index}`;
          const arrivals = new Map(received.map((segment, number) => [name(segment), number]));
          let before = 0;
          for (const segment of schedule.sends) {
            if (segment.step === 0) continue;
            const arrival = arrivals.get(name({ ...segment, step: segment.step - 1 })) as number;
            expect(arrival).toBeGreaterThanOrEqual(before);
            before = arrival;
          }
        }
      }),
    );
  });

  it('ends, whatever moves first, when every rank has just the slots that it needs', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 7 }),
        fc.integer({ min: 0, max: 60 }),
        fc.infiniteStream(fc.nat(1000)),
        (size, count, dice) => {
          expect(runWithSlots(size, count, slotsNeeded(size), dice)).toBe(true);
          if (count >= 4 * size) expect(runWithSlots(size, count, 1, dice)).toBe(false);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('passes on everybody’s chunk in an all-gather', () => {
    const schedule = allGatherSchedule({ rank: 1, size: 4 }, 10, 100);
    const received = [...schedule.receives].map(({ start }) => start / 10);
    expect(received).toEqual([0, 3, 2]);
  });
});

/**
 * Every rank sends in its order and receives in its order; a send ends when the next rank has taken it into a slot (links
 * hold nothing), and a slot is free again when its segment has left. @returns whether all came to the end.
 */
function runWithSlots(size: number, count: number, slots: number, dice: Iterator<number>): boolean {
  const ranks = Array.from({ length: size }, (_, rank) => {
    const schedule = allReduceSchedule({ rank, size }, count, 1, 1);
    const sends = [...schedule.sends];
    return {
      sends,
      receives: [...schedule.receives],
      sent: 0,
      received: 0,
      free: slots,
      steps: schedule.steps,
    };
  });
  const arrivedBefore = (rank: number, { step, index }: Segment): boolean => {
    const { receives, received } = ranks[rank];
    const at = receives.findIndex((segment) => segment.step === step - 1 && segment.index === index);
    return at >= 0 && at < received;
  };
  const move = (rank: number): boolean => {
    const [from, to] = [ranks[rank], ranks[(rank + 1) % size]];
    const segment = from.sends[from.sent];
    if (!segment || to.free === 0 || (segment.step > 0 && !arrivedBefore(rank, segment))) return false;
    from.sent++;
    if (segment.step > 0) from.free++;
    to.received++;
    if (segment.step + 1 < to.steps) to.free--;
    return true;
  };
  for (;;) {
    const movable = ranks.map((_, rank) => rank).sort(() => (dice.next().value as number) - 500);
    if (!movable.some(move)) return ranks.every(({ sends, sent }) => sent === sends.length);
  }
}
