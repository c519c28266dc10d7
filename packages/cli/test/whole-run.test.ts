/** A small run with the real program, from its start to its export. Needs the built packages. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';

const BIN = fileURLToPath(new URL('../bin/coord.js', import.meta.url));
const TINY = fileURLToPath(new URL('../../../configs/synthetic-tiny.yaml', import.meta.url));

type Line = Record<string, unknown> & { event: string };

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let directory = '';

function coord(...args: string[]): Promise<Outcome> {
  const env = { ...process.env, NO_COLOR: '1', COORD_CACHE_DIR: join(directory, 'cache') };
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], { cwd: directory, env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, stdout, stderr });
    });
  });
}

const linesOf = ({ stdout }: Outcome): Line[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

describe('a run of two local workers', () => {
  let outcome: Outcome;
  let lines: Line[] = [];
  let finished: Line;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coord-whole-'));
    outcome = await coord('start', TINY, '--json', '--set', 'local=processes');
    lines = linesOf(outcome);
    finished = lines.at(-1) as Line;
  });

  it('ends with exit status 0 and one line that sums it up', () => {
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(finished).toMatchObject({ event: 'finished', steps: 126, epochs: 3, workers: 2, stopped: false });
    expect(finished.testAccuracy).toBeGreaterThan(0.9);
    expect(finished.weightsSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(lines.filter((line) => line.event === 'step').map((line) => line.step)).toEqual(
      Array.from({ length: 126 }, (_, index) => index + 1),
    );
  });

  it('leaves a directory with configuration, ledger, metrics, checkpoints and logs, named by time and model', () => {
    expect(finished.runDir).toMatch(/^runs\/\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-mlp-\w{4}$/);
    const runDir = join(directory, finished.runDir as string);
    expect(readdirSync(runDir).sort()).toEqual([
      'checkpoints',
      'config.json',
      'coordinator-1.lock',
      'coordinator.json',
      'ledger.jsonl',
      'logs',
      'metrics.jsonl',
      'tokens.json',
    ]);
    expect(statSync(join(runDir, 'tokens.json')).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(runDir, 'logs')).sort()).toEqual([
      'coordinator.log',
      'flight-w1.jsonl',
      'flight-w2.jsonl',
      'local-1.log',
      'local-2.log',
    ]);
    const metrics = readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').trim().split('\n');
    expect(metrics).toHaveLength(126 + 3);
  });

  it('never writes the join token into the run directory', () => {
    const { token } = lines.find((line) => line.event === 'started') as Line;
    const runDir = join(directory, finished.runDir as string);
    for (const file of [
      'config.json',
      'coordinator.json',
      'ledger.jsonl',
      'logs/coordinator.log',
      'logs/local-1.log',
    ]) {
      expect(readFileSync(join(runDir, file), 'utf8')).not.toContain(token);
    }
  });

  it('is evaluated to the same bits by coord eval, in one process', async () => {
    const [evaluated] = linesOf(await coord('eval', finished.runDir as string, '--json'));
    const { testAccuracy, testLoss, weightsSha256 } = finished;
    expect(evaluated).toMatchObject({ event: 'evaluated', step: 126, testAccuracy, testLoss, weightsSha256 });
  });

  it('is exported for tfjs and as safetensors', async () => {
    for (const [format, file] of [
      ['tfjs', 'model.json'],
      ['safetensors', 'weights.safetensors'],
    ]) {
      const args = ['export', finished.runDir as string, '--format', format, '--out', 'exported', '--json'];
      const [exported] = linesOf(await coord(...args));
      expect(exported).toMatchObject({ event: 'exported', file: join('exported', file), step: 126 });
      expect(readdirSync(join(directory, 'exported'))).toContain(file);
    }
  });

  it('goes on with more epochs and another number of workers, and cannot change what decides its weights', async () => {
    const more = await coord(
      'start',
      '--resume',
      finished.runDir as string,
      '--set',
      'epochs=4',
      '--workers',
      '1',
      '--json',
    );
    expect(linesOf(more).at(-1)).toMatchObject({ event: 'finished', steps: 168, epochs: 4, workers: 1 });
    const other = await coord('start', '--resume', finished.runDir as string, '--seed', '9', '--json');
    expect(linesOf(other).at(-1)).toMatchObject({ event: 'error', code: 'CHECKPOINT_MISMATCH', exitCode: 4 });
    expect(other.code).toBe(4);
  });
});

describe('a run', () => {
  it('leaves no temporary files, and so ONNX Runtime none of those from which it would tell its maker of the model', async () => {
    const own = await mkdtemp(join(tmpdir(), 'coord-silent-'));
    const temporary = join(own, 'temporary');
    await mkdir(temporary);
    // Where this is set, ONNX Runtime is silent by itself.
    const { CI: _, ...env } = process.env;
    const settings = ['--workers', '1', '--set', 'maxSteps=2', '--run-dir', join(own, 'run')];
    await promisify(execFile)(process.execPath, [BIN, 'start', TINY, ...settings], {
      cwd: own,
      env: { ...env, TMPDIR: temporary },
    });
    expect(readdirSync(temporary)).toEqual([]);
  });
});

/** An engine that fails to start, wherever its optional package is not installed. */
const MISSING_ENGINE = 'tfjs-node-gpu';

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}

describe('a run whose local workers all fail', () => {
  it.skipIf(isInstalled(`@tensorflow/${MISSING_ENGINE}`))('ends, and says why the last one did', async () => {
    const outcome = await coord(
      'start',
      TINY,
      '--set',
      `engine.name=${MISSING_ENGINE}`,
      '--set',
      'local=processes',
      '--json',
    );
    const lines = linesOf(outcome);
    expect(lines.filter((line) => line.event === 'local-worker-exited')).toHaveLength(2);
    expect(lines.at(-1)).toMatchObject({ event: 'error', code: 'WORKERS_LOST', exitCode: 7 });
    expect(lines.at(-1)?.message).toContain('ENGINE_UNAVAILABLE');
    expect(outcome.code).toBe(7);
  });
});
