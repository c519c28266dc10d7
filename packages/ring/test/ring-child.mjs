// One rank in a process of its own: all-reduces until something fails, or so often as it is told, then reports how. Uses the built
// packages. With `longest`, buffers have different lengths, and ranks come late by different times.
import { setTimeout as sleep } from 'node:timers/promises';
import { toErrorRecord } from '@coord/protocol';
import { createRing } from '@coord/ring';
import { createPeerListener, dialSegments } from '@coord/transport';

const { rank, size, timeoutMs, operations = Infinity, longest, seed = 0 } = JSON.parse(process.argv[2]);
const hash = (...words) =>
  words.reduce((mixed, word) => Math.imul(mixed ^ word, 0x9e3779b1) ^ (mixed >>> 15), seed) >>> 0;
const lengthOf = (count) => (longest ? 1 + (hash(count, 7) % longest) : 100_000);
const delayOf = (count) => (longest ? hash(count, rank, 3) % 3 : 0);

const listener = await createPeerListener({ host: '127.0.0.1' });
process.once('message', async (endpoints) => {
  const link = { generation: 1, key: 'key of the test', timeoutMs: 10_000 };
  const [next, prev] = await Promise.all([
    listener.acceptSegments({ ...link, rank: (rank + 1) % size }),
    dialSegments(endpoints[(rank + size - 1) % size], { ...link, rank }),
  ]);
  const ring = createRing({ rank, size, next, prev, timeoutMs });
  let right = 0;
  try {
    while (right < operations) {
      if (delayOf(right) > 0) await sleep(delayOf(right));
      const values = new Int32Array(lengthOf(right)).fill(rank + right);
      await ring.allReduceSum(values);
      const sum = (size * (size - 1)) / 2 + size * right;
      if (values.some((value) => value !== sum)) throw new Error('a sum was wrong');
      if (++right === 5) process.send({ type: 'running' });
    }
    process.send({ type: 'done', right });
  } catch (error) {
    process.send({ type: 'failed', error: toErrorRecord(error), right });
  }
  await ring.close();
  await listener.close();
  process.disconnect();
});
process.send({ type: 'listening', endpoint: listener.endpoint });
