/** The real program, as a process: help, exit statuses, and what errors look like. Needs the built package. */
import { execFile } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const BIN = fileURLToPath(new URL('../bin/coord.js', import.meta.url));
const CONFIGS = fileURLToPath(new URL('../../../configs/', import.meta.url));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let directory = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coord-bin-'));
});

function coord(...args: string[]): Promise<Outcome> {
  const env = { ...process.env, NO_COLOR: '1', COORD_TOKEN: '' };
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], { cwd: directory, env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, stdout, stderr });
    });
  });
}

describe('coord --help', () => {
  it.each([
    [[]],
    [['start']],
    [['worker']],
    [['eval']],
    [['status']],
    [['export']],
    [['models']],
    [['doctor']],
    [['bench']],
    [['bench', 'scaling']],
    [['bench', 'allreduce']],
    [['doctor']],
  ])('of %j shows its usage and examples, and is no error', async (command) => {
    const { code, stdout, stderr } = await coord(...command, '--help');
    expect(stdout).toContain(['Usage: coord', ...command].join(' '));
    expect(stdout).toContain('Examples:\n  $ ');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('is what a command of commands answers when it is given alone, with the exit status of a wrong use', async () => {
    const { code, stdout, stderr } = await coord('bench');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('scaling [options] <config>');
  });
});

describe('a wrong command line', () => {
  it.each([
    [['strat'], "unknown command 'strat'", 'Did you mean start?'],
    [['start', '--workrs', '2'], "unknown option '--workrs'", 'Did you mean --workers?'],
    [['worker'], "missing required argument 'url'", '`coord worker --help`'],
    [['start'], 'no configuration file was given', 'coord start configs/mnist-cnn.yaml'],
    [['worker', 'ws://127.0.0.1:9'], 'no join token was given', 'COORD_TOKEN'],
    [['worker', 'ws://127.0.0.1:9', '--token', 't', '--workers', '0'], "argument '0' is invalid", '--help'],
    [['export', 'x', '--format', 'onnx', '--out', 'y'], 'Allowed choices are tfjs, safetensors', '--help'],
    [['bench', 'scaling', 'x.yaml', '--workers', '1;2'], 'joined by commas, as in 1,2,4', '--help'],
    [['bench', 'allreduce', '--sizes', '3'], 'multiples of 4, joined by commas', '`coord bench allreduce --help`'],
    [['bench', 'allreduce', '--workers', '100000'], 'Expected an integer from 1 to 256', '--help'],
    [['bench', 'allreduce', '--against', 'gloo,mpu'], 'Expected some of gloo, mpi', '--help'],
    [['bench', 'allreduce', '--listen', '127.0.0.1:0', '--workers', '1'], 'no rank to another machine', '--listen'],
    [['bench', 'allreduce', '--nats', 'nats://127.0.0.1:9'], '--nats means nothing with', '--transport nats'],
    [
      ['start', join(CONFIGS, 'synthetic-tiny.yaml'), '--transport', 'ws', '--nats', 'nats://h:9'],
      'means nothing with --transport ws',
      'docs/configuration.md',
    ],
    [['bench', 'allreduce', '--listen', '127.0.0.1:0', '--join', 'ws://h:1'], 'cannot be used with option', '--help'],
    [['chaos', '--faults', '3', '--minutes', '1'], 'cannot be used with option', '`coord chaos --help`'],
    [['bench', 'scaling', 'x.yaml', '--workers', '1,9999'], 'Expected an integer from 1 to 1024', '--help'],
    [
      ['worker', 'ws://127.0.0.1:9', '--token', 't', '--workers', '9999'],
      'Expected an integer from 1 to 1024',
      '--help',
    ],
    [['worker', 'ws://127.0.0.1:9', '--devices', 'all'], 'Expected numbers of devices joined by commas', '--help'],
    [['worker', 'ws://h:9', '--devices', '0', '--workers', '2'], 'a device takes one worker', 'one of the two'],
    [['worker', 'ws://h:9', '--devices', '0,1', '--engine', 'ort'], 'computes on no NVIDIA device', 'one of the two'],
    [['worker', 'ws://h:9', '--devices', '0,1', '--listen', '127.0.0.1:7071'], 'process of its own', 'one of the two'],
    [['status', 'http://'], '"http://" is no address of a coordinator', 'http://127.0.0.1:7070'],
    [['start', '--resume', 'x', 'y.yaml'], '--resume goes without a configuration file', '--set'],
  ])('%j says what is wrong and what to do, with exit status 2', async (args, message, hint) => {
    const { code, stdout, stderr } = await coord(...args);
    expect(stderr).toContain(`error: `);
    expect(stderr).toContain(message);
    expect(stderr.split('hint: ')[1]).toContain(hint);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

describe('an error', () => {
  it.each([
    ['status', 'runs/none'],
    ['token', 'list', './none'],
  ])(
    'of a run directory that is not there says so, instead of looking for a machine of that name: %s',
    async (...args) => {
      const { code, stderr } = await coord(...args);
      expect(code).toBe(4);
      expect(stderr).toContain(`${args.at(-1)} is no run directory`);
    },
  );

  it('of the configuration ends with status 2 before anything is made', async () => {
    await writeFile(join(directory, 'wrong.yaml'), 'model: {name: cnn}\ndata: {source: mnist}\nepochs: none\n');
    const { code, stderr } = await coord('start', 'wrong.yaml', '--workers', 'two');
    expect(code).toBe(2);
    expect(stderr).toContain('wrong.yaml:3:9: epochs: expected an integer, found the text "none"');
    expect(stderr).toContain('--workers two: workers: expected an integer, found the text "two"');
    expect(stderr).toContain('code: CONFIG_INVALID, exit status 2');
  });

  it('is one object line on stdout with --json', async () => {
    const { code, stdout, stderr } = await coord('start', 'none.yaml', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      event: 'error',
      code: 'CONFIG_NOT_FOUND',
      exitCode: 2,
      facts: { file: 'none.yaml' },
    });
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
  });

  it('about a run that is not there ends with status 4', async () => {
    for (const args of [
      ['eval', 'none'],
      ['start', '--resume', 'none'],
      ['export', 'none', '--format', 'tfjs', '--out', 'x'],
    ]) {
      const { code, stderr } = await coord(...args);
      expect(stderr, args.join(' ')).toContain('code: CHECKPOINT_NOT_FOUND');
      expect(code).toBe(4);
    }
  });

  it('about data that cannot be read ends with status 3', async () => {
    await writeFile(
      join(directory, 'data.yaml'),
      'model: {name: mlp}\ndata: {source: csv, train: none.csv, target: y, task: regression}\n',
    );
    const { code, stderr } = await coord('start', 'data.yaml');
    expect(stderr).toContain('none.csv');
    expect(stderr).toContain('code: DATASET_INVALID');
    expect(code).toBe(3);
  });
});

describe('coord on a port', () => {
  const server = createServer((_, response) => response.end('{"hello": "I am another program"}'));
  let port = 0;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => server.close());

  it('that is taken says so and how to choose another', async () => {
    const { code, stderr } = await coord('start', `${CONFIGS}synthetic-tiny.yaml`, '--listen', `127.0.0.1:${port}`);
    expect(stderr).toContain(`port ${port} on 127.0.0.1 is taken by another program`);
    expect(stderr).toContain(`--listen 127.0.0.1:`);
    expect(code).toBe(6);
  });

  it('of another program tells it from a coordinator', async () => {
    const { code, stderr } = await coord('status', `http://127.0.0.1:${port}`);
    expect(stderr).toContain('another program, or another version of coord');
    expect(code).toBe(6);
  });

  it('where nothing listens says that nobody answers', async () => {
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port: closed } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const { code, stderr } = await coord('status', `127.0.0.1:${closed}`);
    expect(stderr).toContain(`no coordinator answers at http://127.0.0.1:${closed}`);
    expect(code).toBe(6);
  });
});

describe('coord models', () => {
  it('lists models with the defaults of their options', async () => {
    const { code, stdout } = await coord('models', '--json');
    const models = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(models.find((model) => model.name === 'cnn')).toMatchObject({
      event: 'model',
      options: { filters: [32, 64, 64], classes: 10 },
    });
    expect(code).toBe(0);
  });
});
