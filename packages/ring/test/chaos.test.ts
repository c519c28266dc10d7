import { isRecoverable, type PhiloxKey, philox } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import type { Ring } from '../src/ring.js';
import { type CreateRings, memoryRings, socketRings } from './rings.js';

const RANKS = 8;
/** Long form: `npm run soak:ring -- [OPERATIONS] [SEED]`, with buffers up to 100 times as long. */
const { COORD_RING_OPERATIONS, COORD_RING_SEED = '0' } = process.env;
const IS_LONG = COORD_RING_OPERATIONS !== undefined;
const OPERATIONS = Number(COORD_RING_OPERATIONS ?? 1000);
const LONGEST = IS_LONG ? 300_000 : 3000;

/** Random numbers that depend on the seed alone, so that a failure can be replayed. */
class Dice {
  private drawn = 0;
  private readonly out = new Uint32Array(4);

  constructor(private readonly key: PhiloxKey) {}

  below(limit: number): number {
    philox(this.key, [this.drawn++, 0, 0, 0], this.out);
    return this.out[0] % limit;
  }
}

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};

interface Tally {
  operations: number;
  right: number;
  failed: number;
}

/** One view: a ring that all-reduces until its turn is over or a link is lost. */
async function runView(create: CreateRings, dice: Dice, tally: Tally): Promise<void> {
  const segmentBytes = 4 * (1 + dice.below(500));
  const doubling = dice.below(2) === 0;
  const { rings, cut, dispose } = await create(RANKS, {
    segmentBytes: IS_LONG ? segmentBytes * 50 : segmentBytes,
    latencyMs: dice.below(3) === 0 ? 1 : 0,
    doubling,
  });
  const planned = 1 + dice.below(60);
  const killAt = dice.below(3) === 0 ? -1 : dice.below(planned);
  for (let count = 0; count < planned && tally.operations < OPERATIONS; count++) {
    const kill = count === killAt ? { victim: dice.below(RANKS), afterTurns: dice.below(4) } : undefined;
    const lengths = dice.below(dice.below(4) === 0 ? 500 : LONGEST);
    const delays = rings.map(() => dice.below(3));
    const reductions = rings.map((ring, rank) => reduceOne(ring, rank, lengths, delays[rank]));
    if (kill) void turns(kill.afterTurns).then(() => cut(kill.victim));
    const outcomes = await Promise.allSettled(reductions);
    tally.operations++;
    for (const outcome of outcomes) judge(outcome, tally);
    if (outcomes.some(({ status }) => status === 'rejected')) break;
  }
  await dispose();
}

/** @returns whether the sum is right. */
async function reduceOne(ring: Ring, rank: number, length: number, delayTurns: number): Promise<boolean> {
  await turns(delayTurns);
  const values = Int32Array.from({ length }, (_, index) => Math.imul(index + 7, 0x9e3779b9) ^ rank);
  await ring.allReduceSum(values);
  return values.every((value, index) => {
    const base = Math.imul(index + 7, 0x9e3779b9);
    let sum = 0;
    for (let other = 0; other < RANKS; other++) sum = (sum + (base ^ other)) | 0;
    return value === sum;
  });
}

function judge(outcome: PromiseSettledResult<boolean>, tally: Tally): void {
  if (outcome.status === 'fulfilled') {
    expect(outcome.value).toBe(true);
    tally.right++;
  } else {
    expect(isRecoverable(outcome.reason), String(outcome.reason)).toBe(true);
    tally.failed++;
  }
}

describe(`${RANKS} ranks, ${OPERATIONS} all-reduces of random sizes with random delays and losses`, () => {
  for (const [name, create, seed] of [
    ['in-memory links', memoryRings, 1],
    ['sockets', socketRings, 2],
  ] as const) {
    it(`end in a right sum or a typed error over ${name}; nothing hangs, nothing leaks`, async () => {
      const held = () => process.getActiveResourcesInfo().filter((name) => /TCPSocket|Timeout/.test(name)).length;
      const before = held();
      const dice = new Dice([seed, Number(COORD_RING_SEED)]);
      const tally = { operations: 0, right: 0, failed: 0 };
      while (tally.operations < OPERATIONS) await runView(create, dice, tally);
      expect(tally.right).toBeGreaterThan(0);
      expect(tally.failed).toBeGreaterThan(0);
      expect(tally.right + tally.failed).toBe(OPERATIONS * RANKS);
      await turns(2);
      expect(held()).toBeLessThanOrEqual(before);
      if (IS_LONG) process.stdout.write(`${name}: ${JSON.stringify(tally)}\n`);
    }, 3_600_000);
  }
});
