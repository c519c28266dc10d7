import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { doublingPartners, doublingRounds, type Round } from '../src/doubling.js';
import { memoryRings, socketRings } from './rings.js';

/** Runs all ranks' rounds with messages as soon as both ends are there; @returns what each rank holds. */
function simulate<T>(size: number, initial: (rank: number) => T, combine: (a: T, b: T) => T): T[] {
  const held = Array.from({ length: size }, (_, rank) => initial(rank));
  const rounds = held.map((_, rank) => doublingRounds({ rank, size }));
  const mail = new Map<string, T[]>();
  const box = (from: number, to: number): T[] => {
    const name = `${from}>${to}`;
    if (!mail.has(name)) mail.set(name, []);
    return mail.get(name) as T[];
  };
  const hasSent = held.map(() => -1);
  const at = held.map(() => 0);
  const advance = (rank: number, round: Round): boolean => {
    if (round.sends && hasSent[rank] < at[rank]) {
      hasSent[rank] = at[rank];
      box(rank, round.peer).push(held[rank]);
    }
    if (round.receives) {
      const arrived = box(round.peer, rank);
      if (arrived.length === 0) return false;
      const value = arrived.shift() as T;
      held[rank] = round.receives === 'store' ? value : combine(held[rank], value);
    }
    at[rank]++;
    return true;
  };
  let moved = true;
  while (moved) {
    moved = false;
    for (let rank = 0; rank < size; rank++) {
      const round = rounds[rank][at[rank]];
      if (round && advance(rank, round)) moved = true;
    }
  }
  expect(at).toEqual(rounds.map(({ length }) => length));
  expect([...mail.values()].every((messages) => messages.length === 0)).toBe(true);
  return held;
}

describe('recursive doubling', () => {
  it('brings every contribution to every rank exactly once, for any number of ranks', () => {
    for (let size = 1; size <= 33; size++) {
      const held = simulate(
        size,
        (rank) => [rank],
        (a, b) => [...a, ...b],
      );
      const everybody = Array.from({ length: size }, (_, rank) => rank);
      for (const contributions of held) expect([...contributions].sort((a, b) => a - b)).toEqual(everybody);
    }
  });

  it('takes log2 N rounds for a power of two, and two more otherwise', () => {
    for (const [size, rounds] of [
      [1, 0],
      [2, 1],
      [4, 2],
      [8, 3],
      [3, 3],
      [6, 4],
    ]) {
      const longest = Math.max(...Array.from({ length: size }, (_, rank) => doublingRounds({ rank, size }).length));
      expect(longest).toBe(rounds);
    }
  });

  it('names partners mutually', () => {
    for (let size = 1; size <= 20; size++) {
      for (let rank = 0; rank < size; rank++) {
        for (const peer of doublingPartners({ rank, size })) {
          expect(doublingPartners({ rank: peer, size })).toContain(rank);
        }
      }
    }
  });

  it('gives the same bits as the ring, in place and elsewhere', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 9 }),
        fc.array(fc.integer(), { minLength: 1, maxLength: 300 }),
        fc.boolean(),
        async (size, words, elsewhere) => {
          const results: Int32Array[][] = [];
          for (const doublingBytes of [0, 1 << 20]) {
            const { rings, dispose } = await memoryRings(size, { doubling: true, doublingBytes, segmentBytes: 2048 });
            const values = rings.map((_, rank) => Int32Array.from(words, (word) => word ^ Math.imul(rank, 0x9e3779b9)));
            const outs = values.map((own) => (elsewhere ? new Int32Array(own.length) : own));
            await Promise.all(rings.map((ring, rank) => ring.allReduceSum(values[rank], outs[rank])));
            results.push(outs);
            await dispose();
          }
          const [byRing, byDoubling] = results;
          for (const out of byDoubling) expect(out).toEqual(byRing[0]);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('works over sockets, with a link for its own purpose to each partner', async () => {
    for (const size of [3, 4, 5]) {
      const { rings, dispose } = await socketRings(size, { doubling: true });
      const values = rings.map((_, rank) => Int32Array.from({ length: 1000 }, (__, index) => index * 3 + rank));
      await Promise.all(rings.map((ring, rank) => ring.allReduceSum(values[rank])));
      const ranksSum = (size * (size - 1)) / 2;
      for (const own of values) {
        expect(own.every((value, index) => value === index * 3 * size + ranksSum)).toBe(true);
      }
      await dispose();
    }
  });

  it('fails with a typed error that names the phase when the partner is lost', async () => {
    const { rings, cut } = await memoryRings(2);
    const reduced = rings[0].allReduceSum(new Int32Array(10));
    cut(1);
    await expect(reduced).rejects.toMatchObject({
      code: 'RING_BROKEN',
      facts: { rank: 0, peer: 1, phase: 'doubling' },
    });
  });

  it('tells which rank it waits for: the partner of the round, not the rank before', async () => {
    const { rings, dispose } = await memoryRings(4, { doubling: true });
    expect(rings[0].waitsFor).toBeUndefined();
    const sums = rings.slice(0, 3).map((ring) => ring.allReduceSum(Int32Array.of(1)));
    await vi.waitFor(() => expect(rings.map(({ waitsFor }) => waitsFor)).toEqual([2, 3, 3, undefined]));
    await Promise.all([...sums, rings[3].allReduceSum(Int32Array.of(1))]);
    expect(rings.map(({ waitsFor }) => waitsFor)).toEqual([undefined, undefined, undefined, undefined]);
    await dispose();
  });
});
