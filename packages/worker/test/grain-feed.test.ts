import type { Grain } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { feedThread, feedThreads, GrainDeal } from '../src/grain-feed.js';

const grainsOf = (count: number): Grain[] =>
  Array.from({ length: count }, (_, index) => ({ index, epoch: 0, position: index, count: 1 }));

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('dealing grains', () => {
  it('gives every grain once, and each thread that gets any a last one, whoever is fast', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 1, max: 6 }),
        fc.infiniteStream(fc.nat()),
        (count, threads, whoIsNext) => {
          let dealtOut = 0;
          const deal = new GrainDeal(grainsOf(count), threads, () => dealtOut++);
          const taken: number[] = [];
          const lastOf = new Map<number, number>();
          const idle = new Set(Array.from({ length: threads }, (_, thread) => thread));
          while (idle.size > 0) {
            const thread = [...idle][(whoIsNext.next().value as number) % idle.size];
            const dealt = deal.take(thread);
            if (!dealt) idle.delete(thread);
            else {
              expect(lastOf.has(thread)).toBe(false);
              taken.push(dealt.grain.index);
              if (dealt.isLast) lastOf.set(thread, dealt.grain.index);
            }
          }
          expect(taken.toSorted((a, b) => a - b)).toEqual(grainsOf(count).map(({ index }) => index));
          expect(lastOf.size).toBe(Math.min(count, threads));
          expect(dealtOut).toBe(count > 0 ? 1 : 0);
        },
      ),
    );
  });
});

describe('a view that ends', () => {
  it('has no further grain dealt', () => {
    const view = new AbortController();
    const deal = new GrainDeal(grainsOf(4), 1, () => {}, view.signal);
    expect(deal.take(0)?.grain.index).toBe(0);
    view.abort();
    expect(deal.take(0)).toBeUndefined();
  });
});

describe('feeding a thread', () => {
  it('hands its grains over in order, though a later one is loaded faster, and keeps one ahead', async () => {
    const started: number[] = [];
    let inWork = 0;
    let most = 0;
    await feedThread(
      new GrainDeal(grainsOf(6), 1, () => {}),
      0,
      (grain) => pause(grain.index % 2 === 0 ? 5 : 0),
      async ({ grain }) => {
        started.push(grain.index);
        most = Math.max(most, ++inWork);
        await pause(10);
        inWork--;
      },
    );
    expect(started).toEqual([0, 1, 2, 3, 4, 5]);
    expect(most).toBe(2);
    expect(inWork).toBe(0);
  });

  it('fails with the first error, when nothing is in work any more', async () => {
    let inWork = 0;
    const feeding = feedThread(
      new GrainDeal(grainsOf(4), 1, () => {}),
      0,
      async () => {},
      async ({ grain }) => {
        inWork++;
        await pause(grain.index === 0 ? 1 : 20);
        inWork--;
        if (grain.index === 0) throw new Error('grain 0 is bad');
      },
    );
    await expect(feeding).rejects.toThrow('grain 0 is bad');
    expect(inWork).toBe(0);
  });

  it('fails with all others when one gets no samples, once nothing is in work on any of them', async () => {
    let inWork = 0;
    const deal = new GrainDeal(grainsOf(6), 2, () => {});
    const load = async (thread: number) => {
      if (thread === 0) throw new Error('no samples');
    };
    const compute = async () => {
      inWork++;
      await pause(10);
      inWork--;
    };
    const feeding = feedThreads(2, (thread) => feedThread(deal, thread, () => load(thread), compute));
    await expect(feeding).rejects.toThrow('no samples');
    expect(inWork).toBe(0);
    expect([deal.take(1), inWork]).toEqual([undefined, 0]);
  });
});
