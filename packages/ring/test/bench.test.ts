import { describe, expect, it } from 'vitest';
import { benchAllReduce } from '../src/bench/all-reduce.js';
import { findTorchPython } from '../src/bench/gloo.js';

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

  it('finds no wrong value in the int16 wire format either', async () => {
    const [row] = await benchAllReduce({ ...options, sizes: [100_000], wire: 'int16', against: [] });
    expect(row).toMatchObject({ wire: 'int16', wrong: 0 });
  });

  it.skipIf(findTorchPython() === undefined)(
    'compares with gloo in turns (skipped: needs a Python with torch)',
    async () => {
      const rows = await benchAllReduce({ ...options, against: ['gloo'] });
      for (const { ms, peer } of rows) expect(peer.gloo.ratio).toBeCloseTo(peer.gloo.ms / ms, 9);
    },
  );
});
