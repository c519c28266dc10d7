import { CoordError, createArena, isRecoverable } from '@coord/protocol';
import { createSegmentPair } from '@coord/transport/testing';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { checksum } from '../src/checksum.js';
import { type Reduction, wordsOf } from '../src/reduction.js';
import { createRing, type Ring } from '../src/ring.js';
import { SEGMENT_HEADER_BYTES, writeChecksum, writeSegmentHeader } from '../src/segment-header.js';
import { type CreateRings, memoryRings, socketRings, type TestRings } from './rings.js';

const opened: TestRings[] = [];
afterEach(async () => {
  for (const rings of opened.splice(0)) await rings.dispose();
});

const opening =
  (create: CreateRings): CreateRings =>
  async (size, options) => {
    const rings = await create(size, options);
    opened.push(rings);
    return rings;
  };

const valuesOf = (rank: number, length: number, seed = 0): Int32Array =>
  Int32Array.from({ length }, (_, index) => Math.imul(index + 1, 2654435761 + rank * 97 + seed));

function sumOf(all: readonly Int32Array[]): Int32Array {
  const sum = new Int32Array(all[0].length);
  for (const values of all) for (let index = 0; index < sum.length; index++) sum[index] += values[index];
  return sum;
}

const same = (a: Int32Array, b: Int32Array): boolean =>
  Buffer.compare(
    new Uint8Array(a.buffer, a.byteOffset, a.byteLength),
    new Uint8Array(b.buffer, b.byteOffset, b.byteLength),
  ) === 0;

/** A sum that watches what the ring asks of it. */
class CountedSum implements Reduction {
  readonly name = 'sum';
  readonly totalBytes: number;
  readonly out: Int32Array;
  readonly brought: Uint8Array;
  readonly completed: Uint8Array;

  constructor(
    private readonly values: Int32Array,
    readonly unitBytes: number,
  ) {
    this.totalBytes = values.byteLength;
    this.out = new Int32Array(values.length);
    this.brought = new Uint8Array(values.length);
    this.completed = new Uint8Array(values.length);
  }

  own(start: number, end: number, room: Uint8Array): Uint8Array {
    expect(room.length).toBe(end - start);
    room.set(new Uint8Array(this.values.buffer, start, end - start));
    this.count(this.brought, start, end);
    return room;
  }

  addOwn(start: number, end: number, arrived: Uint8Array): void {
    this.count(this.brought, start, end);
    this.add(wordsOf(arrived), this.values.subarray(start / 4, end / 4));
  }

  merge(into: Uint8Array, other: Uint8Array): void {
    this.add(wordsOf(into), wordsOf(other));
  }

  complete(start: number, end: number, sum: Uint8Array): void {
    this.count(this.completed, start, end);
    this.out.set(wordsOf(sum), start / 4);
  }

  private add(into: Int32Array, other: Int32Array): void {
    for (let index = 0; index < into.length; index++) into[index] += other[index];
  }

  private count(times: Uint8Array, start: number, end: number): void {
    expect(start % this.unitBytes).toBe(0);
    expect(end % this.unitBytes === 0 || end === this.totalBytes).toBe(true);
    for (let index = start / 4; index < end / 4; index++) times[index]++;
  }
}

for (const [name, create] of [
  ['in-memory links', opening(memoryRings)],
  ['sockets', opening(socketRings)],
] as const) {
  describe(`a ring over ${name}`, () => {
    it('sums to the same bits on 1 to 8 ranks, for all kinds of sizes', async () => {
      for (const size of [1, 2, 3, 4, 5, 8]) {
        const { rings } = await create(size, { segmentBytes: 64 });
        for (const length of [0, 1, 2, size - 1, size, size + 1, 7, 16, 17, 1000, 4099]) {
          const all = rings.map((_, rank) => valuesOf(rank, length));
          const expected = sumOf(all);
          await Promise.all(rings.map((ring, rank) => ring.allReduceSum(all[rank])));
          for (const values of all) expect(same(values, expected)).toBe(true);
        }
      }
    });

    it('takes the maximum of bytes', async () => {
      const { rings } = await create(3, { segmentBytes: 10 });
      for (const length of [0, 1, 2, 50, 1000]) {
        const all = rings.map((_, rank) =>
          Uint8Array.from({ length }, (__, index) => (index * 37 + rank * 101) & 0xff),
        );
        const expected = Uint8Array.from({ length }, (_, index) => Math.max(...all.map((values) => values[index])));
        await Promise.all(rings.map((ring, rank) => ring.allReduceMax(all[rank])));
        for (const values of all) expect(Buffer.compare(values, expected)).toBe(0);
      }
    });

    it('gathers by rank', async () => {
      for (const size of [1, 2, 5]) {
        const { rings } = await create(size, { segmentBytes: 7 });
        const gathered = await Promise.all(
          rings.map((ring, rank) => ring.allGather(new Uint8Array(20).fill(rank + 1))),
        );
        for (const parts of gathered) {
          expect(parts.map((part) => [...new Set(part)])).toEqual(rings.map((_, rank) => [rank + 1]));
        }
      }
    });

    it('runs operations of all kinds one after another, without awaiting each', async () => {
      const { rings } = await create(4, { segmentBytes: 128 });
      const lengths = [5000, 3, 0, 777];
      const all = rings.map((_, rank) => lengths.map((length) => valuesOf(rank, length, length)));
      const largest = rings.map((_, rank) => Uint8Array.from([rank, 255 - rank]));
      await Promise.all(
        rings.flatMap((ring, rank) => [
          ...all[rank].map((values) => ring.allReduceSum(values)),
          ring.allReduceMax(largest[rank]),
          ring.allGather(new Uint8Array([rank])),
        ]),
      );
      lengths.forEach((length, index) => {
        const expected = sumOf(rings.map((_, rank) => valuesOf(rank, length, length)));
        for (const values of all) expect(same(values[index], expected)).toBe(true);
      });
      for (const values of largest) expect([...values]).toEqual([3, 255]);
    });

    it('leaves the values alone when the result goes elsewhere', async () => {
      const { rings } = await create(3, { segmentBytes: 100 });
      const all = rings.map((_, rank) => valuesOf(rank, 501));
      const outs = rings.map(() => new Int32Array(501));
      await Promise.all(rings.map((ring, rank) => ring.allReduceSum(all[rank], outs[rank])));
      all.forEach((values, rank) => {
        expect(same(values, valuesOf(rank, 501))).toBe(true);
        expect(same(outs[rank], sumOf(all))).toBe(true);
      });
    });

    it('asks for every piece once, hands every piece on once, and in whole units', async () => {
      for (const [size, length] of [
        [1, 700],
        [2, 700],
        [2, 60_000],
        [3, 5000],
        [5, 60_000],
      ]) {
        const { rings } = await create(size, { segmentBytes: 4096 });
        const expected = sumOf(rings.map((_, rank) => valuesOf(rank, length)));
        await Promise.all(
          rings.map(async (ring, rank) => {
            const reduction = new CountedSum(valuesOf(rank, length), 1024);
            await ring.allReduce(reduction);
            expect(same(reduction.out, expected)).toBe(true);
            for (const times of [reduction.brought, reduction.completed]) {
              expect(times.every((count) => count === 1)).toBe(true);
            }
          }),
        );
      }
    });

    it('reduces in an arena with the WebAssembly kernels to the same bits', async () => {
      const arenas = [0, 1, 2].map(() => createArena(16 << 20));
      const { rings } = await create(3, { arenas });
      const length = 700_001;
      const all = arenas.map((arena, rank) => {
        const values = arena.int32(length);
        values.set(valuesOf(rank, length));
        return values;
      });
      const expected = sumOf(all.map((values) => values.slice()));
      await Promise.all(rings.map((ring, rank) => ring.allReduceSum(all[rank])));
      for (const values of all) expect(same(values, expected)).toBe(true);
    });

    it('tells every rank when one link is lost, and stays broken', async () => {
      const { rings, cut } = await create(4, { latencyMs: 20 });
      const all = rings.map((_, rank) => valuesOf(rank, 3_000_000));
      const outcomes = Promise.allSettled(rings.map((ring, rank) => ring.allReduceSum(all[rank])));
      await new Promise(setImmediate);
      cut(1);
      for (const outcome of await outcomes) {
        expect(outcome).toMatchObject({
          status: 'rejected',
          reason: { code: 'RING_BROKEN', facts: { operation: 'sum', sequence: 0 } },
        });
      }
      const again = await Promise.allSettled(rings.map((ring) => ring.allReduceSum(new Int32Array(1))));
      for (const outcome of again) expect(outcome).toMatchObject({ reason: { code: 'RING_BROKEN' } });
    });

    it('times out on a silent peer, and names rank, peer, phase and sequence', async () => {
      const { rings } = await create(3, { timeoutMs: 60, stoppedRank: 2 });
      const outcomes = await Promise.allSettled([0, 1].map((rank) => rings[rank].allReduceSum(valuesOf(rank, 100))));
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { facts: { sequence: 0, operation: 'sum' } } });
        expect(outcome.status === 'rejected' && isRecoverable(outcome.reason)).toBe(true);
      }
      // Rank 0 waits for rank 2, which never speaks.
      expect(outcomes[0]).toMatchObject({
        reason: { code: 'RING_TIMEOUT', facts: { rank: 0, peer: 2, phase: 'reduce-scatter', timeoutMs: 60 } },
      });
    });

    it('is given up by its signal, with the reason of the signal', async () => {
      const controller = new AbortController();
      const { rings } = await create(2, { signal: controller.signal });
      const waiting = rings[0].allReduceSum(valuesOf(0, 100));
      const outcome = expect(waiting).rejects.toMatchObject({ code: 'VIEW_CHANGED', message: 'generation 7 begins' });
      controller.abort(new CoordError('VIEW_CHANGED', 'generation 7 begins'));
      await outcome;
      await expect(rings[0].allReduceSum(new Int32Array(1))).rejects.toMatchObject({ code: 'VIEW_CHANGED' });
    });

    it('notices that ranks do not agree on what they reduce', async () => {
      const disagreements: [(ring: Ring) => Promise<unknown>, (ring: Ring) => Promise<unknown>][] = [
        [(ring) => ring.allReduceSum(new Int32Array(100)), (ring) => ring.allReduceSum(new Int32Array(104))],
        [(ring) => ring.allReduceSum(new Int32Array(100)), (ring) => ring.allReduceMax(new Uint8Array(400))],
        [(ring) => ring.allReduceSum(new Int32Array(100)), (ring) => ring.allGather(new Uint8Array(200))],
        // Equal segments of buffers of different lengths.
        [(ring) => ring.allReduceSum(new Int32Array(1000)), (ring) => ring.allReduceSum(new Int32Array(2000))],
      ];
      for (const [one, other] of disagreements) {
        const { rings } = await create(2, { segmentBytes: 400 });
        const outcomes = await Promise.allSettled([one(rings[0]), other(rings[1])]);
        expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
        expect(outcomes.some((outcome) => outcome.status === 'rejected' && outcome.reason.code === 'RING_BROKEN')).toBe(
          true,
        );
      }
    });

    it('rejects what is under way when it is closed', async () => {
      const { rings } = await create(2);
      const outcomes = Promise.allSettled([rings[0].allReduceSum(valuesOf(0, 10))]);
      await rings[0].close();
      expect((await outcomes)[0]).toMatchObject({ status: 'rejected', reason: { code: 'VIEW_CHANGED' } });
      await expect(rings[1].allReduceSum(valuesOf(1, 10))).rejects.toMatchObject({ code: 'RING_BROKEN' });
    });
  });
}

describe('a ring', () => {
  it('sums any lengths, values and segment sizes on any number of ranks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 200 }),
        fc.array(fc.integer(), { maxLength: 400 }),
        fc.constantFrom(0, 1),
        async (size, segmentBytes, words, latencyMs) => {
          const { rings, dispose } = await memoryRings(size, { segmentBytes, latencyMs });
          const all = rings.map((_, rank) => Int32Array.from(words, (word) => word ^ Math.imul(rank, 0x9e3779b9)));
          const expected = sumOf(all);
          await Promise.all(rings.map((ring, rank) => ring.allReduceSum(all[rank])));
          for (const values of all) expect(same(values, expected)).toBe(true);
          await dispose();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('refuses to combine a frame whose header is not the one that is due', async () => {
    const fromPrev = createSegmentPair();
    const toNext = createSegmentPair();
    const links = { next: toNext.sender, prev: fromPrev.receiver };
    const ring = createRing({ rank: 0, size: 2, ...links, timeoutMs: 5000, doublingBytes: 0 });
    const values = valuesOf(0, 512);
    const reduced = expect(ring.allReduceSum(values)).rejects.toMatchObject({
      code: 'RING_BROKEN',
      message: expect.stringContaining('it sent gather 9, step 3, segment 1, of 5 bytes, where sum 0, step 0'),
      facts: { rank: 0, peer: 1, phase: 'reduce-scatter', step: 0 },
    });
    const wrong = new Uint8Array([9, 0, 0, 0, 3, 3, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    await fromPrev.sender.send(wrong, new Uint8Array(1024));
    await reduced;
    expect(same(values, valuesOf(0, 512))).toBe(true);
  });

  it('takes no segment that was damaged on its way, in either phase, whichever byte it was', async () => {
    const tag = { sequence: 0, name: 'sum', totalBytes: 4096 } as const;
    for (const [step, byte] of [
      [0, 0],
      [0, 2047],
      [1, 1000],
    ] as const) {
      const fromPrev = createSegmentPair();
      const links = { next: createSegmentPair().sender, prev: fromPrev.receiver };
      const ring = createRing({ rank: 0, size: 2, ...links, timeoutMs: 5000, doublingBytes: 0 });
      const reduced = expect(ring.allReduceSum(valuesOf(0, 1024))).rejects.toMatchObject({
        code: 'RING_BROKEN',
        message: expect.stringContaining('a segment of 2048 bytes was damaged on its way'),
        facts: { rank: 0, peer: 1, phase: step === 0 ? 'reduce-scatter' : 'all-gather' },
      });
      for (let sent = 0; sent <= step; sent++) {
        const bytes = new Uint8Array(2048).fill(7);
        const header = new Uint8Array(SEGMENT_HEADER_BYTES);
        writeSegmentHeader(header, tag, { step: sent, index: 0, start: 0, end: 2048 });
        writeChecksum(header, checksum(bytes));
        if (sent === step) bytes[byte] ^= 1;
        await fromPrev.sender.send(header, bytes);
      }
      await reduced;
    }
  });

  it('needs links when it has several ranks, and an output of equal length', async () => {
    const context = { rank: 0, next: undefined, prev: undefined, timeoutMs: 1000 };
    expect(() => createRing({ ...context, size: 2 })).toThrow('both neighbours');
    const alone = createRing({ ...context, size: 1 });
    await expect(alone.allReduceSum(new Int32Array(2), new Int32Array(3))).rejects.toThrow('out has 12');
  });

  it('leaves no timer and no socket behind', async () => {
    const resources = () => process.getActiveResourcesInfo().filter((name) => /TCPSocket|Timeout/.test(name)).length;
    const before = resources();
    const { rings, dispose } = await socketRings(3);
    await Promise.all(rings.map((ring, rank) => ring.allReduceSum(valuesOf(rank, 1000))));
    await dispose();
    await new Promise(setImmediate);
    expect(resources()).toBeLessThanOrEqual(before);
  });
});
