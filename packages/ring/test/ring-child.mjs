// One rank in a process of its own: all-reduces until something fails, then reports how. Uses the built packages.
import { toErrorRecord } from '@coord/protocol';
import { createRing } from '@coord/ring';
import { createPeerListener, dialSegments } from '@coord/transport';

const { rank, size, timeoutMs } = JSON.parse(process.argv[2]);
const listener = await createPeerListener({ host: '127.0.0.1' });
process.once('message', async (endpoints) => {
  const link = { generation: 1, key: 'key of the test', timeoutMs: 10_000 };
  const [next, prev] = await Promise.all([
    listener.acceptSegments({ ...link, rank: (rank + 1) % size }),
    dialSegments(endpoints[(rank + size - 1) % size], { ...link, rank }),
  ]);
  const ring = createRing({ rank, size, next, prev, timeoutMs });
  try {
    for (let count = 1; ; count++) {
      await ring.allReduceSum(new Int32Array(100_000).fill(rank));
      if (count === 5) process.send({ type: 'running' });
    }
  } catch (error) {
    process.send({ type: 'failed', error: toErrorRecord(error) });
  }
  await ring.close();
  await listener.close();
  process.disconnect();
});
process.send({ type: 'listening', endpoint: listener.endpoint });
