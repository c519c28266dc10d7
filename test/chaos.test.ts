/**
 * Short schedules of faults against real clusters: `coord chaos` compares the weights with those of an undisturbed run and
 * audits the ledger. Long ones: `npm run chaos:60`, `npm run soak`.
 */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type CoordEvent, coord, endAll, runCoord, temporaryDirectory } from './support/coord.js';

const isRoot = process.getuid?.() === 0;

function scheduleFile(...faults: object[]): string {
  const file = join(temporaryDirectory(), 'faults.json');
  writeFileSync(file, JSON.stringify({ seed: 5, workers: 3, faults }));
  return file;
}

async function chaos(...args: string[]): Promise<CoordEvent> {
  const { code, events, stderr } = await runCoord(['chaos', ...args, '--json']);
  const report = events.find(({ event }) => event === 'chaos') as CoordEvent;
  expect(code, `${stderr}\n${JSON.stringify(events.at(-1))}`).toBe(0);
  expect(report).toMatchObject({ ok: true, equal: true, missed: [] });
  expect(report.weightsSha256).toBe(report.referenceSha256);
  return report;
}

afterEach(endAll);

describe('chaos on three workers', () => {
  it('behind proxies: killed, stopped, cut off, with damaged bytes and without a coordinator, comes to the same bits', async () => {
    const file = scheduleFile(
      { kind: 'corrupt', atStep: 10, worker: 1, link: 'ring' },
      { kind: 'kill', atStep: 20, worker: 2, forMs: 100 },
      { kind: 'corrupt', atStep: 30, worker: 3, link: 'coordinator' },
      { kind: 'stop', atStep: 60, worker: 1, forMs: 300 },
      { kind: 'cut', atStep: 90, worker: 3, forMs: 300 },
      { kind: 'coordinator-kill', atStep: 120, forMs: 100 },
      { kind: 'clock-jump', atStep: 150, worker: 1, byMs: -3_600_000 },
    );
    const report = await chaos('--schedule', file, '--network', 'proxy', '--steps', '260', '--pace', '5');
    expect(report).toMatchObject({ network: 'proxy', faults: 7, steps: 260 });
  });

  it.skipIf(!isRoot)(
    'in network namespaces: partitioned, slowed down, on a full disk, comes to the same bits (skipped: needs root)',
    async () => {
      const file = scheduleFile(
        { kind: 'slow-link', atStep: 10, worker: 1, forMs: 500, delayMs: 5, bytesPerSecond: 2_000_000 },
        { kind: 'disk-full', atStep: 20, forMs: 1500 },
        { kind: 'leave', atStep: 30, worker: 2, forMs: 100 },
        { kind: 'partition', atStep: 60, worker: 3, forMs: 3500 },
        { kind: 'join', atStep: 90, forMs: 1000 },
        // Longer than the run: its last checkpoint finds no room, and the coordinator is started again until it does.
        { kind: 'disk-full', atStep: 175, forMs: 4000 },
      );
      const report = await chaos('--schedule', file, '--network', 'namespaces', '--steps', '200', '--pace', '5');
      expect(report).toMatchObject({ network: 'namespaces', faults: 6, steps: 200 });
      expect(report.strangeEnds).toContainEqual(
        expect.objectContaining({ who: 'coordinator', error: expect.stringContaining('CHECKPOINT_WRITE_FAILED') }),
      );
    },
  );

  it('ends at once, with what it failed with, when a fault cannot be carried out', async () => {
    const temporary = temporaryDirectory();
    const file = scheduleFile(
      { kind: 'stop', atStep: 10, worker: 1, forMs: 300 },
      { kind: 'clock-jump', atStep: 60, worker: 1, byMs: 1000 },
      { kind: 'stop', atStep: 1_000_000, worker: 1, forMs: 300 },
    );
    const args = ['--schedule', file, '--network', 'proxy', '--steps', '1000000', '--json'];
    const run = coord(['chaos', ...args], { env: { TMPDIR: temporary } });
    // Everybody has started, and the file by which a clock jumps has no place any more.
    while (!run.stderr.includes('step ')) await pause(50);
    rmSync(join(temporary, readdirSync(temporary)[0], 'inside'), { recursive: true });
    expect(await run.exited).toMatchObject({ code: 8 });
    expect(run.events.at(-1)).toMatchObject({
      code: 'CHAOS_FAILED',
      message: expect.stringContaining('clock-jump at step 60 could not be carried out: ENOENT'),
    });
    expect(readdirSync(temporary)).toEqual([expect.stringMatching(/-kept$/)]);
  });

  it('with SIGTERM ends in order: no process and no file is left', async () => {
    const temporary = temporaryDirectory();
    const run = coord(['chaos', '--faults', '20', '--workers', '2', '--json'], { env: { TMPDIR: temporary } });
    await run.event('schedule');
    while (!run.stderr.includes('step ')) await pause(50);
    run.kill('SIGTERM');
    expect(await run.exited).toEqual({ code: 130, signal: null });
    expect(readdirSync(temporary)).toEqual([]);
  });
});
