import { describe, expect, it } from 'vitest';
import { benchAllReduce } from '../src/bench/all-reduce.js';
import { findTorchPython } from '../src/bench/gloo.js';
import { hasMpi } from '../src/bench/mpi.js';

describe('the all-reduce bench', () => {
  const options = { ranks: 2, sizes: [4, 4096], transport: 'ws', rounds: 1, turnMs: 5 } as const;

  it('reduces in processes of their own and finds no wrong value', async () => {
    const rows = await benchAllReduce({ ...options, against: [] });
    expect(rows.map(({ bytes, wrong }) => ({ bytes, wrong }))).toEqual([
      { bytes: 4, wrong: 0 },
      { bytes: 4096, wrong: 0 },
    ]);
    for (const { ms, busbwGBps, bytes } of rows) expect(busbwGBps).toBeCloseTo(bytes / ms / 1e6, 9);
  });

  it('links ranks by Unix-domain sockets too', async () => {
    const [row] = await benchAllReduce({ ...options, sizes: [100_000], transport: 'uds', against: [] });
    expect(row).toMatchObject({ transport: 'uds', wrong: 0 });
  });

  it('links ranks through TLS', async () => {
    const [row] = await benchAllReduce({ ...options, ranks: 3, sizes: [300_000], tls: true, against: [] });
    expect(row).toMatchObject({ transport: 'wss', ranks: 3, wrong: 0 });
  });

  it('links ranks in memory, and reduces by either schedule', async () => {
    const memory = { ...options, ranks: 3, sizes: [4, 50_000], transport: 'memory', against: [] } as const;
    for (const schedule of ['auto', 'ring', 'doubling'] as const) {
      const rows = await benchAllReduce({ ...memory, schedule, memory: { latencyMs: 1 } });
      expect(rows.map(({ transport, wrong }) => ({ transport, wrong }))).toEqual([
        { transport: 'memory', wrong: 0 },
        { transport: 'memory', wrong: 0 },
      ]);
    }
  });

  it('finds no wrong value in the int16 wire format either, in turns with int32', async () => {
    const rows = await benchAllReduce({ ...options, sizes: [100_000], wires: ['int32', 'int16'], against: [] });
    expect(rows).toMatchObject([
      { wire: 'int32', wrong: 0 },
      { wire: 'int16', wrong: 0 },
    ]);
  });

  it('keeps within a quantum a rank in int8, and is exact between threads of one process', async () => {
    const [narrow] = await benchAllReduce({ ...options, sizes: [100_000], wires: ['int8'], against: [] });
    expect(narrow).toMatchObject({ wire: 'int8', wrong: 0 });
    for (const ranks of [1, 3]) {
      const threads = await benchAllReduce({ ...options, ranks, sizes: [4, 300_004], transport: 'shm', against: [] });
      expect(threads.map(({ wrong }) => wrong)).toEqual([0, 0]);
    }
  });

  it.skipIf(!hasMpi())('compares with MPI in turns (skipped: needs mpicc and mpirun)', async () => {
    const [row] = await benchAllReduce({ ...options, sizes: [4096], against: ['mpi'] });
    expect(row.peer.mpi.ratio).toBeCloseTo(row.peer.mpi.ms / row.ms, 9);
  });

  it.skipIf(findTorchPython() === undefined)(
    'compares with gloo in turns (skipped: needs a Python with torch)',
    async () => {
      const rows = await benchAllReduce({ ...options, against: ['gloo'] });
      for (const { ms, peer } of rows) expect(peer.gloo.ratio).toBeCloseTo(peer.gloo.ms / ms, 9);
    },
  );
});
