/** /dev/full takes nothing, as a full disk does; a file system without room is one. */
import { execFile, type StdioOptions, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CoordinatorEvent, LEDGER_FILE, readLedger } from '@coord/coordinator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLogger } from '../src/log.js';
import { openMetricsFile } from '../src/metrics-file.js';

const FULL = '/dev/full';
const pathOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const BIN = pathOf('../bin/coord.js');
const TINY = pathOf('../../../configs/synthetic-tiny.yaml');
const evaluation: CoordinatorEvent = {
  event: 'evaluation',
  ...{ step: 1, epoch: 1, durationMs: 1, loss: 1, accuracy: 1, samples: 1 },
};

describe.skipIf(!existsSync(FULL))('on a full disk', () => {
  it('metrics are left out, and somebody is told, once', async () => {
    const errors: string[] = [];
    const metrics = openMetricsFile(FULL, (error) => errors.push(error.message));
    for (let line = 0; line < 5; line++) {
      metrics.record(evaluation);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await metrics.close();
    expect(errors).toEqual([expect.stringContaining('ENOSPC')]);
  });

  it('logging goes on without its file', () => {
    const logger = createLogger({ name: 'test', file: FULL, stderr: false });
    // Written, and refused, within the call: what nobody listened to would be thrown here.
    expect(() => {
      logger.info('one');
      logger.info('two');
    }).not.toThrow();
  });
});

describe.skipIf(!existsSync(FULL))('output that cannot be written', () => {
  it.each(['stdout', 'stderr'])('ends no command, and no worker whose %s is its log', (stream) => {
    const descriptor = openSync(FULL, 'w');
    const stdio = stream === 'stdout' ? ['ignore', descriptor, 'pipe'] : ['ignore', 'pipe', descriptor];
    const script = `import { createLogger } from ${JSON.stringify(pathOf('../dist/log.js'))};
      import { outliveOutput } from ${JSON.stringify(pathOf('../dist/io.js'))};
      const statusOf = outliveOutput();
      const logger = createLogger({ name: 'test', stderr: true });
      for (let line = 0; line < 3; line++) {
        console.log('a line');
        console.error('a line');
        logger.info('a line');
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      process.exitCode = await statusOf(0);`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      stdio: stdio as StdioOptions,
    });
    closeSync(descriptor);
    expect(status).toBe(stream === 'stdout' ? 4 : 0);
    if (stream === 'stdout') expect(stderr.toString()).toContain('error: standard output cannot be written (ENOSPC');
  });

  it('is said to be incomplete', () => {
    const { status, stderr } = spawnSync('bash', ['-c', `"$0" "$1" models > ${FULL}`, process.execPath, BIN]);
    expect(status).toBe(4);
    expect(stderr.toString()).toMatch(/^error: standard output cannot be written \(ENOSPC[^\n]*\n$/);
  });

  it('is no failure where its reader has gone', () => {
    const { status } = spawnSync('bash', [
      '-c',
      `"$0" "$1" models | head -1; exit \${PIPESTATUS[0]}`,
      process.execPath,
      BIN,
    ]);
    expect(status).toBe(0);
  });
});

/** Needs root, or what amounts to it. */
const canMount = spawnSync('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs test /mnt']).status === 0;

describe.skipIf(!canMount)('a run on a full file system (skipped where none can be mounted)', () => {
  let directory = '';
  let runDir = '';

  /** @returns its exit status, and the lines of JSON that it printed. */
  function run(program: string, ...args: string[]) {
    const env = { ...process.env, COORD_CACHE_DIR: join(directory, 'cache') };
    return new Promise<{ code: number; lines: Record<string, unknown>[] }>((resolve) => {
      execFile(program, args, { env }, (error, stdout) => {
        const lines = stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line));
        resolve({ code: error ? Number(error.code) : 0, lines });
      });
    });
  }

  /** Nobody else sees the file system; what is on it afterwards is in `RUN.after`. */
  async function onFullDisk(...command: string[]) {
    await rm(`${runDir}.after`, { recursive: true, force: true });
    return run('unshare', '--mount', pathOf('fixtures/on-full-disk.sh'), runDir, '0', process.execPath, ...command);
  }

  const resume = (where: string) => [BIN, 'start', '--resume', where, '--workers', '1', '--set', 'epochs=2', '--json'];

  function contentOf(root: string): Record<string, string> {
    const entries = readdirSync(root, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    return Object.fromEntries(files.sort().map((file) => [file.slice(root.length), readFileSync(file, 'base64')]));
  }

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coord-full-'));
    runDir = join(directory, 'run');
    const first = ['--run-dir', runDir, '--workers', '1', '--set', 'epochs=1', '--json'];
    expect((await run(process.execPath, BIN, 'start', TINY, ...first)).code).toBe(0);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('is not resumed, loses nothing, and is resumed when there is room', async () => {
    const { code, lines } = await onFullDisk(...resume(runDir));
    expect({ code, last: lines.at(-1) }).toMatchObject({
      code: 4,
      last: {
        code: 'CHECKPOINT_WRITE_FAILED',
        message: expect.stringMatching(/run\/config\.json could not be written: ENOSPC: /),
        hint: expect.stringContaining('Free space on that disk'),
        facts: { file: join(runDir, 'config.json'), errno: 'ENOSPC' },
      },
    });
    expect(contentOf(`${runDir}.after`)).toEqual(contentOf(runDir));
    const again = await run(process.execPath, ...resume(`${runDir}.after`));
    expect({ code: again.code, last: again.lines.at(-1) }).toMatchObject({ code: 0, last: { event: 'finished' } });
  });

  it('keeps a token that its coordinator cannot write down until that one ends, and says so', async () => {
    const { code, lines } = await run(
      'unshare',
      '--mount',
      pathOf('fixtures/token-beside.sh'),
      directory,
      process.execPath,
      BIN,
      TINY,
    );
    expect({ code, last: lines.at(-1) }).toMatchObject({
      code: 4,
      last: {
        code: 'CHECKPOINT_WRITE_FAILED',
        message: expect.stringMatching(/tokens\.json could not be written: ENOSPC: /),
        hint: expect.stringContaining('Free space on that disk'),
      },
    });
  });

  it('says of each of its files that it could not be written, and keeps what it was', async () => {
    const { code, lines } = await onFullDisk(pathOf('fixtures/write-all.mjs'), runDir);
    expect(code).toBe(0);
    expect(lines).toHaveLength(7);
    for (const { name, ...error } of lines) {
      const message = expect.stringContaining(`${name} could not be written: ENOSPC`);
      expect(error).toMatchObject({ code: 'CHECKPOINT_WRITE_FAILED', message });
    }
    const [before, after] = [runDir, `${runDir}.after`];
    // A line of the ledger may have been begun: it is torn, and goes when the ledger is opened.
    const [then, now] = await Promise.all([before, after].map((where) => readLedger(join(where, LEDGER_FILE))));
    expect(now).toEqual(then);
    const others = (where: string) => ({ ...contentOf(where), [`/${LEDGER_FILE}`]: '' });
    expect(others(after)).toEqual(others(before));
  });
});
