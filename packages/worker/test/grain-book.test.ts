import { planStep } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignGrains, decodeRecord, encodeRecord, type HostRecord, settleHeldGrains } from '../src/grain-book.js';

const GRAINS = 12;
const record = fc.record({
  step: fc.integer({ min: 5, max: 6 }),
  evaluatedStep: fc.integer({ min: -1, max: 6 }),
  stopped: fc.boolean(),
  attempt: fc.constantFrom(0 as const, 1 as const),
  updateNumber: fc.nat(),
  isDoubted: fc.boolean(),
  held: fc.uniqueArray(fc.integer({ min: 0, max: GRAINS - 1 })).map((grains): ReadonlySet<number> => new Set(grains)),
});
const records = fc.array(record, { minLength: 1, maxLength: 6 });

describe('records', () => {
  it('survive the wire', () => {
    fc.assert(
      fc.property(record, (one) => {
        expect(decodeRecord(encodeRecord(one, GRAINS), GRAINS)).toEqual({
          ...one,
          held: new Set([...one.held].sort((a, b) => a - b)),
        });
      }),
    );
  });
});

describe('after a view change', () => {
  const plan = planStep({ samples: 1000, grains: GRAINS, grainSize: 4 }, 6);

  it('every grain is in exactly one sum, held or computed anew', () => {
    fc.assert(
      fc.property(records, (list: HostRecord[]) => {
        const held = settleHeldGrains(list);
        const assigned = assignGrains(
          plan,
          list.map(() => 1),
          held,
        );
        const all = list.flatMap((_, rank) => [...held[rank], ...assigned[rank].map((grain) => grain.index)]);
        expect(all.sort((a, b) => a - b)).toEqual(plan.grains.map((grain) => grain.index));
      }),
    );
  });

  it('nobody keeps grains of an older step, or beside a second attempt', () => {
    fc.assert(
      fc.property(records, (list: HostRecord[]) => {
        const step = Math.max(...list.map((one) => one.step));
        const retried = list.some((one) => one.step === step && one.attempt === 1);
        settleHeldGrains(list).forEach((grains, rank) => {
          if (retried || list[rank].step < step) expect(grains.size).toBe(0);
        });
      }),
    );
  });

  it('survivors keep what they have, so that only the lost grains are computed again', () => {
    const base = { step: 6, evaluatedStep: -1, stopped: false, attempt: 0 as const, updateNumber: 1, isDoubted: false };
    const list = [0, 1, 2].map((rank) => ({
      ...base,
      held: new Set([4 * rank, 4 * rank + 1, 4 * rank + 2, 4 * rank + 3]),
    }));
    const survivors = [list[0], list[2]];
    const held = settleHeldGrains(survivors);
    expect(held).toEqual(survivors.map((one) => one.held));
    const again = assignGrains(plan, [1, 1], held)
      .flat()
      .map((grain) => grain.index);
    expect(again.sort((a, b) => a - b)).toEqual([4, 5, 6, 7]);
  });
});
