/** `coord doctor` as people run it. Needs the built package. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DoctorReport, EngineReport, MissingEngine, WorkingEngine } from '../src/doctor/report.js';

const BIN = fileURLToPath(new URL('../bin/coord.js', import.meta.url));
const CONFIG = fileURLToPath(new URL('../../../configs/synthetic-tiny.yaml', import.meta.url));

let directory = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coord-doctor-'));
});

function doctor(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, NO_COLOR: '1', COORD_CACHE_DIR: join(directory, 'cache') };
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, 'doctor', ...args], { cwd: directory, env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, stdout, stderr });
    });
  });
}

const reportIn = (stdout: string): DoctorReport & { event: string } => JSON.parse(stdout);

describe('coord doctor --bench --json', () => {
  let report: DoctorReport & { event: string };
  const find = (name: string) => report.engines.find(({ engine }) => engine === name) as EngineReport;

  beforeAll(async () => {
    const { code, stdout, stderr } = await doctor('--bench', '--json');
    expect({ code, stderr, lines: stdout.trim().split('\n').length }).toEqual({ code: 0, stderr: '', lines: 1 });
    report = reportIn(stdout);
  }, 120_000);

  it('tells of every engine whether it works, with its speed', () => {
    expect(report.event).toBe('doctor');
    expect(report.engines.map(({ engine }) => engine).sort()).toEqual(
      ['ort', 'ort-cuda', 'ort-webgpu', 'tfjs-cpu', 'tfjs-node', 'tfjs-node-gpu', 'tfjs-webgpu'].sort(),
    );
    for (const name of ['ort', 'tfjs-cpu']) {
      const { works, identity, gradientError, speed } = find(name) as WorkingEngine;
      expect({ works, engine: identity.engine, threads: identity.threads }).toEqual({
        works: true,
        engine: name,
        threads: 1,
      });
      expect(gradientError).toBeLessThan(1e-5);
      expect(speed?.samplesPerSecond).toBeGreaterThan(0);
    }
  });

  it('tells of every engine that does not work why and what to do', () => {
    const missing = report.engines.filter((engine): engine is MissingEngine => !engine.works);
    for (const { reason, howToGet } of missing) {
      expect(reason).toMatch(/\w+ \w+/);
      expect(howToGet).toMatch(/install|npm/);
    }
  });

  it('says what auto takes, and how many workers and threads to start', () => {
    expect(find(report.auto as string).works).toBe(true);
    expect(report.advice.threads).toBe(1);
    expect(report.advice.workers).toBeGreaterThanOrEqual(1);
    expect(report.hardware.cores).toBeGreaterThanOrEqual(1);
    expect(report.hardware.node).toBe(process.version);
  });

  it('has measured loopback, clock and cache, and leaves nothing in the cache', async () => {
    expect(report.loopback.bytesPerSecond).toBeGreaterThan(0);
    expect(report.clock).toMatchObject({ isMonotonic: true });
    expect(report.storage).toMatchObject({ cacheDirectory: join(directory, 'cache'), isWritable: true });
    expect(await readdir(join(directory, 'cache'))).toEqual([]);
    expect(report.coordinator).toBeNull();
  });
});

describe('coord doctor', () => {
  it('is a table for people, reasons below it', async () => {
    const { code, stdout } = await doctor('--coordinator', '127.0.0.1:1');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^engine +works +gradient error +samples\/s/m);
    expect(stdout).toMatch(/^ort +yes /m);
    expect(stdout).toMatch(/^coordinator +http:\/\/127\.0\.0\.1:1 does not answer: /m);
    expect(stdout).toMatch(/^advice +\d+ workers? /m);
  });

  it('finds a cache directory that cannot be written', async () => {
    const file = join(directory, 'file');
    await writeFile(file, '');
    const { code, stdout } = await doctor('--json', '--cache-dir', join(file, 'cache'));
    expect(reportIn(stdout).storage).toMatchObject({ isWritable: false, reason: expect.stringContaining('ENOTDIR') });
    expect(code).toBe(0);
  });

  it('refuses an address that is none', async () => {
    const { code, stderr } = await doctor('--coordinator', 'http://');
    expect(stderr).toContain('"http://" is no address of a coordinator');
    expect(code).toBe(2);
  });
});

describe('coord doctor --coordinator', () => {
  let start: ChildProcess;
  afterAll(() => start.kill('SIGKILL'));

  it('measures the way to a real one and the skew of its clock', async () => {
    const runDir = join(directory, 'run');
    const args = ['start', CONFIG, '--workers', '0', '--listen', '127.0.0.1:0', '--run-dir', runDir, '--json'];
    start = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
    const url = await startedUrl(start);
    const { coordinator } = reportIn((await doctor('--coordinator', url, '--json')).stdout);
    expect(coordinator).toMatchObject({ url: url.replace('ws', 'http'), reachable: true });
    if (!coordinator?.reachable) return;
    expect(coordinator.roundTripMs).toBeGreaterThan(0);
    // One machine, one clock: what is left is half a round trip.
    expect(Math.abs(coordinator.clockSkewMs as number)).toBeLessThan(1000);
  });
});

async function startedUrl(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const event = JSON.parse(line);
    if (event.event === 'started') return event.url;
  }
  throw new Error('coord start ended before it listened');
}
