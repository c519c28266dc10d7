import { isCoordError, type View } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { Membership } from '../src/membership.js';
import { joinUrl } from '../src/reach.js';

const view = (generation: number, ...ids: string[]): View => ({
  runId: 'run',
  generation,
  members: ids.map((workerId) => ({ workerId, name: workerId, endpoint: { host: '127.0.0.1', port: 1 }, share: 1 })),
  ringKey: `key-of-generation-${generation}`,
  reason: 'test',
});

describe('membership', () => {
  it('hands out each view once, the newest only, and aborts the one before', async () => {
    const membership = new Membership('b');
    membership.install(view(1, 'a', 'b'));
    const first = await membership.next();
    expect([first?.rank, first?.signal.aborted]).toEqual([1, false]);
    membership.install(view(2, 'b'));
    membership.install(view(3, 'b', 'a'));
    expect(isCoordError(first?.signal.reason, 'VIEW_CHANGED')).toBe(true);
    const third = await membership.next();
    expect([third?.view.generation, third?.rank]).toEqual([3, 0]);
  });

  it('drops views that are not newer, and views that this worker is not in', async () => {
    const membership = new Membership('b');
    membership.install(view(5, 'b'));
    const active = await membership.next();
    membership.install(view(5, 'a', 'b'));
    membership.install(view(4, 'a', 'b'));
    membership.install(view(6, 'a'));
    expect(active?.signal.aborted).toBe(false);
    expect(membership.generation).toBe(5);
    expect(membership.view?.ringKey).toBe('key-of-generation-5');
  });

  it('wakes who waits when a view comes, when it ends well, and when it breaks', async () => {
    const coming = new Membership('b');
    const next = coming.next();
    coming.install(view(1, 'b'));
    expect((await next)?.view.generation).toBe(1);
    const waiting = coming.next();
    coming.end();
    expect(await waiting).toBeUndefined();
    const broken = new Membership('b');
    const rejected = broken.next();
    broken.end(new Error('the coordinator is gone'));
    await expect(rejected).rejects.toThrow('the coordinator is gone');
  });
});

describe('an address of a coordinator', () => {
  it.each([
    ['ws://127.0.0.1:7070', 'ws://127.0.0.1:7070/join'],
    ['http://box:7070/', 'ws://box:7070/join'],
    ['box:7070', 'ws://box:7070/join'],
    ['https://box', 'wss://box/join'],
  ])('may be written as %s', (url, expected) => {
    expect(joinUrl(url)).toBe(expected);
  });
  it.each(['ftp://box:1', 'ws://', 'not an address'])('%s is refused', (url) => {
    expect(() => joinUrl(url)).toThrow(/no address of a coordinator/);
  });
});
