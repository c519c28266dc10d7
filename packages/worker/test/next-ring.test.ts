import type { Ring } from '@coord/ring';
import { describe, expect, it } from 'vitest';
import type { ActiveView } from '../src/membership.js';
import { NextRing } from '../src/next-ring.js';

const viewOf = (generation: number) => ({ view: { generation } }) as ActiveView;

/** @returns generations that were opened, and of what was closed. */
function rings() {
  const opened: number[] = [];
  const closed: number[] = [];
  const next = new NextRing(async ({ view: { generation } }) => {
    opened.push(generation);
    return { rank: generation, close: async () => void closed.push(generation) } as unknown as Ring;
  });
  return { next, opened, closed };
}

describe('the ring of the next view', () => {
  it('is opened when the view is known, and once', async () => {
    const { next, opened } = rings();
    const view = viewOf(1);
    next.prepare(view);
    expect(opened).toEqual([1]);
    expect((await next.take(view)).rank).toBe(1);
    expect(opened).toEqual([1]);
  });

  it('stays the only one of its view when an older view is taken after it has come', async () => {
    const { next, opened } = rings();
    const [older, newer] = [viewOf(1), viewOf(2)];
    next.prepare(older);
    next.prepare(newer);
    await next.take(older);
    expect((await next.take(newer)).rank).toBe(2);
    expect(opened.filter((generation) => generation === 2)).toEqual([2]);
  });

  it('is closed when nobody takes it', async () => {
    const { next, closed } = rings();
    next.prepare(viewOf(1));
    await next.close();
    expect(closed).toEqual([1]);
  });
});
