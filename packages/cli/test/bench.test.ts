import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { StepEvent } from '@coord/coordinator';
import { isRunning } from '@coord/disk';
import type { PhaseTimes } from '@coord/protocol';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { scalingCases, summarise } from '../src/bench/scaling.js';
import { median, spread } from '../src/bench/statistics.js';
import { createStepWatch } from '../src/bench/step-watch.js';

const BIN = fileURLToPath(new URL('../bin/coord.js', import.meta.url));

const times = (totalMs: number): PhaseTimes => ({
  loadMs: 1,
  computeMs: totalMs - 2,
  waitMs: 0,
  ringMs: 0,
  optimizerMs: 1,
  totalMs,
});

const step = (number: number, samples: number, by: Record<string, PhaseTimes>): StepEvent => ({
  event: 'step',
  step: number,
  totalSteps: 100,
  epoch: 0,
  loss: 1,
  accuracy: 0,
  metrics: {},
  samples,
  weightsSha256: '',
  samplesPerSecond: 0,
  skipped: false,
  requantised: false,
  times: by,
  ownSamples: {},
});

describe('the median', () => {
  it('has as many values below as above it', () => {
    fc.assert(
      // Beyond 1e300 the sum of the two in the middle is infinite; nothing that is measured is.
      fc.property(fc.array(fc.double({ noNaN: true, min: -1e300, max: 1e300 }), { minLength: 1 }), (values) => {
        const middle = median(values);
        const below = values.filter((value) => value < middle).length;
        const above = values.filter((value) => value > middle).length;
        expect(below).toBeLessThanOrEqual(values.length / 2);
        expect(above).toBeLessThanOrEqual(values.length / 2);
      }),
    );
  });

  it('comes with half the range as its spread', () => {
    expect(spread([8, 10, 12])).toBe(0.2);
    expect(spread([10])).toBe(0);
  });
});

describe('the measurement of a run', () => {
  it('starts its clock at the end of the warm-up and counts only what comes after', () => {
    let now = 0;
    const watch = createStepWatch(2, () => now);
    for (const [number, atMs] of [
      [1, 0],
      [2, 1000],
      [3, 1100],
      [4, 1300],
    ] as const) {
      now = atMs;
      watch.see(step(number, 60, { a: times(number), b: times(number + 2) }));
    }
    const { samplesPerSecond, times: mean } = watch.result();
    expect(samplesPerSecond).toBeCloseTo(120 / 0.3);
    expect(mean.totalMs).toBe(4.5);
  });

  it('says so when the run ended before its warm-up did', () => {
    const watch = createStepWatch(5, () => 0);
    watch.see(step(3, 64, {}));
    expect(() => watch.result()).toThrow('before its warm-up');
  });
});

describe('scaling', () => {
  it('keeps the batch in strong cases and lets it grow in weak ones', () => {
    expect(scalingCases([1, 4], 8)).toEqual([
      { kind: 'strong', workers: 1, grains: 8 },
      { kind: 'strong', workers: 4, grains: 8 },
      { kind: 'weak', workers: 1, grains: 8 },
      { kind: 'weak', workers: 4, grains: 32 },
    ]);
  });

  it('is perfect when the rate grows with the workers, and is relative to the fewest of its own kind', () => {
    const [strong2, strong4, weak2, weak4] = scalingCases([2, 4], 8);
    const run = (samplesPerSecond: number) => ({ samplesPerSecond, times: times(10) });
    const results = summarise(
      [
        { of: strong2, runs: [run(100), run(90), run(110)] },
        { of: strong4, runs: [run(150)] },
        { of: weak2, runs: [run(100)] },
        { of: weak4, runs: [run(200)] },
      ],
      16,
    );
    expect(results.map((result) => result.efficiency)).toEqual([1, 0.75, 1, 1]);
    expect(results.map((result) => result.globalBatch)).toEqual([128, 128, 256, 512]);
    expect(results[0]).toMatchObject({ samplesPerSecond: 100, spread: 0.1, repeats: 3 });
  });

  it('is measured with real workers, and ends with one line of results', async () => {
    const config = fileURLToPath(new URL('../../../configs/synthetic-tiny.yaml', import.meta.url));
    const args = ['bench', 'scaling', config, '--workers', '1,2', '--repeats', '1', '--steps', '5', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, [BIN, ...args]);
    const { results, cores } = JSON.parse(stdout.trim().split('\n').at(-1) as string);
    expect(cores).toBeGreaterThan(0);
    expect(
      results.map(({ kind, workers, globalBatch }: Record<string, unknown>) => [kind, workers, globalBatch]),
    ).toEqual([
      ['strong', 1, 48],
      ['strong', 2, 48],
      ['weak', 1, 48],
      ['weak', 2, 96],
    ]);
    for (const result of results) {
      expect(result.samplesPerSecond).toBeGreaterThan(0);
      expect(result.times.totalMs).toBeGreaterThan(0);
    }
  });
});

describe('Ctrl-C during a bench', () => {
  it('ends it with status 130; its workers and files are gone then', async () => {
    const config = fileURLToPath(new URL('../../../configs/synthetic-tiny.yaml', import.meta.url));
    const directory = await mkdtemp(join(tmpdir(), 'coord-interrupt-'));
    const args = ['bench', 'scaling', config, '--set', 'local=processes', '--steps', '100000', '--json'];
    const bench = spawn(process.execPath, [BIN, ...args], { env: { ...process.env, TMPDIR: directory } });
    const runs = async () => (await readdir(directory)).filter((name) => name.startsWith('coord-bench-'));
    await vi.waitFor(async () => {
      const [run] = await runs();
      expect(await readFile(join(directory, run, 'metrics.jsonl'), 'utf8')).toContain('"step":20');
    }, 30_000);
    const [run] = await runs();
    const log = await readFile(join(directory, run, 'logs', 'local-1.log'), 'utf8');
    const pid = Number(/"pid":(\d+)/.exec(log)?.[1]);
    expect(isRunning(pid)).toBe(true);
    bench.kill('SIGINT');
    const [code] = await once(bench, 'exit');
    expect(code).toBe(130);
    expect(isRunning(pid)).toBe(false);
    expect(await runs()).toEqual([]);
    await rm(directory, { recursive: true });
  });
});

const canHaveNamespaces =
  spawnSync('unshare', ['--net', '--mount', 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'ignore' }).status === 0;

describe('the bench of overlap', () => {
  it('limits links itself where there are no network namespaces', async () => {
    const config = fileURLToPath(new URL('../../../configs/synthetic-tiny.yaml', import.meta.url));
    const args = ['bench', 'overlap', config, '--steps', '2', '--megabits', '5', '--json', '--links', 'limited'];
    const { stdout } = await promisify(execFile)(process.execPath, [BIN, ...args, '--set', 'ring.bucketBytes=1024']);
    const { links, results } = JSON.parse(stdout.trim().split('\n').at(-1) as string);
    expect(links).toBe('limited');
    // 8 kB of gradients a step at 625 bytes a millisecond.
    for (const { times } of results) expect(times.totalMs).toBeGreaterThan(10);
  });

  it.skipIf(!canHaveNamespaces)(
    'trains both ways between network namespaces and leaves a trace of each (skipped where not root)',
    async () => {
      const config = fileURLToPath(new URL('../../../configs/synthetic-tiny.yaml', import.meta.url));
      const traces = await mkdtemp(join(tmpdir(), 'coord-traces-'));
      const args = ['bench', 'overlap', config, '--steps', '3', '--megabits', '100', '--json', '--timeline', traces];
      const { stdout } = await promisify(execFile)(process.execPath, [BIN, ...args, '--set', 'ring.bucketBytes=1024']);
      const { results, ratio } = JSON.parse(stdout.trim().split('\n').at(-1) as string);
      expect(results.map(({ overlap }: { overlap: string }) => overlap)).toEqual(['off', 'on']);
      expect(ratio).toBeCloseTo(results[0].times.totalMs / results[1].times.totalMs);
      const sumsIn = async (mode: string) => {
        const { traceEvents } = JSON.parse(await readFile(join(traces, `overlap-${mode}.json`), 'utf8'));
        return traceEvents.filter(({ name }: { name: string }) => name.startsWith('sum ')).length;
      };
      // A sum a bucket instead of a sum a step.
      expect(await sumsIn('on')).toBeGreaterThan(2 * (await sumsIn('off')));
      await rm(traces, { recursive: true });
    },
  );
});

describe('the bench of the all-reduce', () => {
  it('ends with one line of results, without a wrong sum', async () => {
    const args = ['bench', 'allreduce', '--sizes', '4,4K', '--rounds', '1', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, [BIN, ...args]);
    const { results } = JSON.parse(stdout.trim().split('\n').at(-1) as string);
    expect(results).toMatchObject([
      { bytes: 4, ranks: 2, transport: 'ws', wrong: 0 },
      { bytes: 4096, ranks: 2, transport: 'ws', wrong: 0 },
    ]);
  });

  it('measures ranks of several machines: one waits, the others join with the token that it printed', async () => {
    const args = ['bench', 'allreduce', '--listen', '127.0.0.1:0', '--sizes', '64K', '--rounds', '1', '--json'];
    const lead = execFile(process.execPath, [BIN, ...args]);
    const lines = createInterface({ input: lead.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    const { url, token } = JSON.parse((await lines.next()).value as string);
    const joined = promisify(execFile)(process.execPath, [BIN, 'bench', 'allreduce', '--join', url], {
      env: { ...process.env, COORD_TOKEN: token },
    });
    let last = '';
    for (let line = await lines.next(); !line.done; line = await lines.next()) last = line.value;
    expect(JSON.parse(last).results).toMatchObject([{ bytes: 65_536, ranks: 2, transport: 'ws', wrong: 0 }]);
    expect((await joined).stdout).toBe('joined the bench\nthe bench is over\n');
  });

  it.skipIf(!canHaveNamespaces)(
    'compares wire formats over links of a limited rate (skipped where not root): nothing is faster than its link',
    async () => {
      const args = ['bench', 'allreduce', '--sizes', '2M', '--rounds', '1', '--json'];
      const link = ['--wire', 'int32,int16', '--megabits', '200'];
      const { stdout } = await promisify(execFile)(process.execPath, [BIN, ...args, ...link]);
      const { results } = JSON.parse(stdout.trim().split('\n').at(-1) as string);
      expect(results).toMatchObject([
        { wire: 'int32', wrong: 0 },
        { wire: 'int16', wrong: 0 },
      ]);
      // 200 Mbit/s are 0.025 GB/s; what the link lets pass at once is an eighth of these 2 MB.
      expect(results[0].busbwGBps).toBeLessThan(0.03);
    },
  );
});
