/** What a ring says of its waiting, and what it makes while segments pass. */
import { createSegmentPair } from '@coord/transport/testing';
import { describe, expect, it } from 'vitest';
import { createRing } from '../src/ring.js';
import { slotsNeeded } from '../src/schedule.js';

const SIZE = 3;
const TIMEOUT_MS = 10_000;

/** A clock that stands still unless it is moved. */
function stillClock() {
  let nowMs = 0;
  return {
    nowMs: () => nowMs,
    after: () => () => {},
    move: (ms: number) => {
      nowMs += ms;
    },
  };
}

function memoryRings(seen: (view: Uint8Array) => void = () => {}) {
  const clock = stillClock();
  const pairs = Array.from({ length: SIZE }, () => createSegmentPair());
  const rings = pairs.map(({ sender: next }, rank) => {
    const { receiver } = pairs[(rank + SIZE - 1) % SIZE];
    const receive = (parts: readonly Uint8Array[]) => {
      for (const part of parts) seen(part);
      return receiver.receive(parts);
    };
    const onBeat = (callback: (value: number) => void) => receiver.onBeat(callback);
    const prev = { receive, onBeat, close: () => receiver.close(), closed: receiver.closed };
    return createRing({ rank, size: SIZE, next, prev, timeoutMs: TIMEOUT_MS, clock, segmentBytes: 1024 });
  });
  return { clock, rings, close: () => Promise.all(rings.map((ring) => ring.close())) };
}

describe('a ring', () => {
  it('tells how long it has waited for those that came late, also while it waits', async () => {
    const { clock, rings, close } = memoryRings();
    const values = rings.map(() => new Int32Array(5000).fill(1));
    const early = [0, 1].map((rank) => rings[rank].allReduceSum(values[rank]));
    await new Promise((resolve) => setImmediate(resolve));
    clock.move(300);
    // Rank 0 hears nothing from rank 2; rank 1 has rank 0's values, and waits for what that cannot pass on.
    expect(rings.map(({ waitedMs }) => waitedMs)).toEqual([300, 300, 0]);
    await Promise.all([...early, rings[2].allReduceSum(values[2])]);
    clock.move(50);
    expect(rings.map(({ waitedMs }) => waitedMs)).toEqual([300, 300, 0]);
    await Promise.all(rings.map((ring, rank) => ring.allReduceSum(values[rank])));
    expect(rings.map(({ waitedMs }) => waitedMs)).toEqual([300, 300, 0]);
    await close();
  });

  it('makes no view of its slots for each segment', async () => {
    const views = new Set<Uint8Array>();
    let received = 0;
    const { rings, close } = memoryRings((view) => {
      views.add(view);
      received++;
    });
    const values = rings.map(() => new Int32Array(300_000).fill(1));
    for (let round = 0; round < 3; round++)
      await Promise.all(rings.map((ring, rank) => ring.allReduceSum(values[rank])));
    expect(values[0][299_999]).toBe(SIZE ** 3);
    // A header, the view of a whole segment and that of a chunk's last, shorter one, for each slot and round.
    const slots = SIZE * (slotsNeeded(SIZE) + 1);
    expect(received).toBeGreaterThan(10_000);
    expect(views.size).toBeLessThan(slots * 12);
    await close();
  });
});
