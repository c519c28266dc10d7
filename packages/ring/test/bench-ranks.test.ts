/** How the processes of a bench end. Needs the built package. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { benchAllReduce } from '../src/bench/all-reduce.js';

const PARENT = fileURLToPath(new URL('./bench-parent.mjs', import.meta.url));
const SOON = { timeout: 20_000, interval: 100 };

/** The bench's ranks whose parent this is, or, without one, those of these processes that still live. */
function ranks(isMeant: (pid: number, parent: number) => boolean): number[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args=']).toString().split('\n');
  return lines.flatMap((line) => {
    const [pid, parent] = line.trim().split(/\s+/).map(Number);
    return line.includes('rank-process.js') && isMeant(pid, parent) ? [pid] : [];
  });
}

describe('the ranks of a bench', () => {
  it('fail with what one of them failed with, and none is left', async () => {
    const placeOf = (rank: number) => ({ host: rank === 1 ? '203.0.113.1' : '127.0.0.1', prefix: [] });
    const bench = benchAllReduce({ ranks: 3, sizes: [4], transport: 'ws', placeOf, against: [] });
    await expect(bench).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('203.0.113.1'),
    });
    await vi.waitFor(() => expect(ranks((_, parent) => parent === process.pid)).toEqual([]), SOON);
  });

  it.each(['SIGKILL', 'SIGINT'] as const)('end with their parent, also by %s, and leave no socket', async (signal) => {
    const directory = await mkdtemp(join(tmpdir(), 'coord-ranks-'));
    const env = { ...process.env, TMPDIR: directory };
    const parent = spawn(process.execPath, [PARENT], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let complaints = '';
    parent.stderr.on('data', (text) => {
      complaints += text;
    });
    await once(parent.stdout, 'data');
    const running = ranks((_, of) => of === parent.pid);
    expect(running).toHaveLength(2);
    expect(await readdir(directory)).not.toEqual([]);
    if (signal === 'SIGINT') for (const rank of running) process.kill(rank, signal);
    parent.kill(signal);
    await vi.waitFor(() => expect(ranks((pid) => running.includes(pid))).toEqual([]), SOON);
    expect(await readdir(directory)).toEqual([]);
    expect(complaints).toBe('');
    await rm(directory, { recursive: true });
  });
});
