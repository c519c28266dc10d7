import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allGatherSchedule, allReduceSchedule, phaseOf, segmentsReceived, segmentsSent } from '../src/schedule.js';

const sizes = fc.integer({ min: 2, max: 9 });
const counts = fc.integer({ min: 0, max: 300 });
const segmentSizes = fc.integer({ min: 1, max: 64 });

describe('the ring schedule', () => {
  it('makes every rank receive exactly what its neighbour sends, in the same order', () => {
    fc.assert(
      fc.property(sizes, counts, segmentSizes, (size, count, segmentBytes) => {
        const schedules = Array.from({ length: size }, (_, rank) =>
          allReduceSchedule({ rank, size }, count * 4, 4, segmentBytes),
        );
        for (let rank = 0; rank < size; rank++) {
          const prev = schedules[(rank + size - 1) % size];
          const sent = Array.from({ length: prev.steps }, (_, step) => [...segmentsSent(prev, step)]).flat();
          expect([...segmentsReceived(schedules[rank])]).toEqual(sent);
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
            [...segmentsSent(schedule, step)].flatMap(({ start, end }) =>
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
          for (const { start, end } of segmentsSent(schedule, (size - chunk) % size)) {
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

  it('passes on everybody’s chunk in an all-gather', () => {
    const schedule = allGatherSchedule({ rank: 1, size: 4 }, 10, 100);
    const received = [...segmentsReceived(schedule)].map(({ start }) => start / 10);
    expect(received).toEqual([0, 3, 2]);
  });
});
