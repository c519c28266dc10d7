/** A rank that is slow holds the others up, and one that stands still ends their operation. */
import { createSegmentPair, VirtualClock } from '@coord/transport/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { Beats, decodeBeat, encodeBeat } from '../src/beats.js';
import { PATIENCE_FACTOR } from '../src/progress-timer.js';
import { type CreateRings, memoryRings, socketRings, type TestRings } from './rings.js';

/** Of operations that are to come about: long enough for the beats of a loaded machine. */
const TIMEOUT_MS = 400;
/** Small enough for recursive doubling, and too large for it. */
const LENGTHS = [1000, 100_000];

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each([
  ['in memory', memoryRings],
  ['over sockets', socketRings],
] as [string, CreateRings][])('a ring %s', (_, create) => {
  const opened: TestRings[] = [];
  const open = async (...how: Parameters<CreateRings>) => {
    const made = await create(...how);
    opened.push(made);
    return made.rings;
  };
  afterEach(async () => {
    await Promise.all(opened.splice(0).map(({ dispose }) => dispose()));
  });

  it.each(LENGTHS)('waits for a rank that comes long after the time-out, with %i values', async (length) => {
    const rings = await open(4, { timeoutMs: TIMEOUT_MS, doubling: true });
    const values = rings.map(() => new Int32Array(length).fill(1));
    const early = [0, 1, 3].map((rank) => rings[rank].allReduceSum(values[rank]));
    await Promise.race([pause(2 * TIMEOUT_MS), ...early]);
    await Promise.all([...early, rings[2].allReduceSum(values[2])]);
    for (const one of values) expect(one.every((value) => value === 4)).toBe(true);
  });
});

describe('a ring whose clock is moved', () => {
  /** @returns how each of these ranks' operation ended; the others are in none. */
  async function outcomesOf(ranks: readonly number[], size: number, stoppedRank?: number) {
    const clock = new VirtualClock();
    const { rings, dispose } = await memoryRings(size, { timeoutMs: TIMEOUT_MS, clock, stoppedRank });
    const ended = Promise.allSettled(ranks.map((rank) => rings[rank].allReduceSum(new Int32Array(100))));
    let endedAtMs: number | undefined;
    void ended.then(() => {
      endedAtMs = clock.nowMs();
    });
    for (let part = 0; part < 2 * PATIENCE_FACTOR; part++) await clock.pass(TIMEOUT_MS);
    const reasons = (await ended).map((one) => (one.status === 'rejected' ? one.reason : undefined));
    await dispose();
    return { reasons, endedAtMs };
  }

  it('gives a rank up that lives and never comes, and names it wherever it is waited for', async () => {
    const { reasons, endedAtMs } = await outcomesOf([0, 1, 3], 4);
    const timeoutMs = PATIENCE_FACTOR * TIMEOUT_MS;
    expect(endedAtMs).toBeGreaterThanOrEqual(timeoutMs);
    for (const { code, facts } of reasons) {
      if (code === 'RING_TIMEOUT') expect(facts).toMatchObject({ peer: 2, timeoutMs });
    }
    expect(reasons.filter(({ code }) => code === 'RING_TIMEOUT').length).toBeGreaterThan(0);
  });

  it('gives a rank up that stands still after the time-out, whoever else lives', async () => {
    // Rank 0 lives, and is not in the operation either.
    const { reasons, endedAtMs } = await outcomesOf([2, 3, 4], 5, 1);
    expect(endedAtMs).toBeGreaterThanOrEqual(TIMEOUT_MS);
    expect(endedAtMs).toBeLessThan(2 * TIMEOUT_MS);
    expect(reasons.find(({ code }) => code === 'RING_TIMEOUT')).toMatchObject({ facts: { timeoutMs: TIMEOUT_MS } });
  });
});

describe('beats', () => {
  it('of any rank and number of hops come out as they went in', () => {
    for (const [origin, hops] of [
      [0, 1],
      [1799, 1799],
      [65_535, 65_534],
    ]) {
      expect(decodeBeat(encodeBeat(origin, hops))).toEqual({ origin, hops });
    }
  });

  it('do not go round in a circle of ranks that all wait', async () => {
    const size = 4;
    const pairs = Array.from({ length: size }, () => createSegmentPair());
    const stranger = createSegmentPair();
    let heard = 0;
    const clock = { nowMs: () => 0, after: () => () => {} };
    pairs.forEach(({ sender }, rank) => {
      const prevRank = (rank + size - 1) % size;
      const receiver = rank === 0 ? stranger.receiver : pairs[prevRank].receiver;
      const links = { senders: new Set([sender]), receivers: new Map([[prevRank, receiver]]) };
      const onBeat = () => void heard++;
      new Beats({ rank, size, links, clock, timeoutMs: 1000, waitsFor: () => prevRank, onBeat });
    });
    // What leaves the last rank comes to the first.
    pairs[size - 1].receiver.onBeat((value) => stranger.sender.beat(value));
    stranger.sender.beat(encodeBeat(3, size - 1));
    await pause(50);
    expect(heard).toBe(size - 1);
  });
});
