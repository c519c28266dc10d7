import { acceptNatsSegments, dialNatsSegments, openNats } from '@coord/transport/nats';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '@coord/transport/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRing, type Ring } from '../src/ring.js';

const SIZE = 3;

describe.skipIf(natsServerProgram === undefined)('a ring over NATS (skipped where there is no nats-server)', () => {
  let server: TestNatsServer;

  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(() => server.stop());

  async function openRing(rank: number, generation: number): Promise<{ ring: Ring; close(): Promise<void> }> {
    const connection = await openNats({ servers: server.url, timeoutMs: 5000 });
    const link = { connection, prefix: 'test.run', generation, key: 'key of the view', timeoutMs: 5000 };
    const [next, prev] = await Promise.all([
      acceptNatsSegments({ ...link, senderRank: rank, rank: (rank + 1) % SIZE }),
      dialNatsSegments({ ...link, senderRank: (rank + SIZE - 1) % SIZE, rank }),
    ]);
    const ring = createRing({ rank, size: SIZE, next, prev, timeoutMs: 10_000 });
    return {
      ring,
      async close() {
        await ring.close();
        await connection.close();
      },
    };
  }

  it('gives the sum that every other transport gives', async () => {
    const ranks = await Promise.all([0, 1, 2].map((rank) => openRing(rank, 1)));
    for (const length of [1, 1000, 3_000_000]) {
      const all = ranks.map((_, rank) =>
        Int32Array.from({ length }, (__, index) => Math.imul(index, 2654435761) ^ rank),
      );
      const expected = Int32Array.from({ length }, (_, index) => {
        const value = Math.imul(index, 2654435761);
        return (value ^ 0) + (value ^ 1) + (value ^ 2);
      });
      await Promise.all(ranks.map(({ ring }, rank) => ring.allReduceSum(all[rank])));
      for (const values of all)
        expect(Buffer.compare(Buffer.from(values.buffer), Buffer.from(expected.buffer))).toBe(0);
    }
    await Promise.all(ranks.map(({ close }) => close()));
  });

  it('fails with RING_BROKEN on every rank when one leaves', async () => {
    const ranks = await Promise.all([0, 1, 2].map((rank) => openRing(rank, 2)));
    const outcomes = Promise.allSettled([0, 1].map((rank) => ranks[rank].ring.allReduceSum(new Int32Array(1000))));
    await ranks[2].close();
    for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: { code: 'RING_BROKEN' } });
    await Promise.all([0, 1].map((rank) => ranks[rank].close()));
  });
});
