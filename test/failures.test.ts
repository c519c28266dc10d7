/** Bad input and bad luck, at a real cluster: what people read, which exit status they get, and that nobody else suffers. */

import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import {
  type CoordinatorMessage,
  coordinatorMessageSchema,
  decodeMessage,
  encodeMessage,
  PROTOCOL_VERSION,
} from '@coord/protocol';
import { connectLink, type Link } from '@coord/transport';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type CoordEvent,
  type CoordProcess,
  coord,
  endAll,
  REPOSITORY,
  runCoord,
  temporaryDirectory,
} from './support/coord.js';

const TOKEN = 'failures-test-token';
const TINY = join(REPOSITORY, 'configs', 'synthetic-tiny.yaml');

afterEach(endAll);

/** A coordinator that waits for workers, and its address. */
async function waitingCoordinator(...more: string[]) {
  const directory = join(temporaryDirectory(), 'run');
  const start = coord(['start', TINY, '--json', '--workers', '0', '--token', TOKEN, '--run-dir', directory, ...more]);
  const { urls } = (await start.event('listening')) as CoordEvent & { urls: string[] };
  return { start, url: urls[0], directory };
}

const joinAs = (url: string, token: string) => coord(['worker', url], { env: { COORD_TOKEN: token } });

async function endsWell(start: CoordProcess): Promise<CoordEvent> {
  expect((await start.exited).code, start.stderr).toBe(0);
  return start.events.at(-1) as CoordEvent;
}

describe('a worker that cannot join', () => {
  it('because of its token is told so, and the run goes on without it', async () => {
    const { start, url } = await waitingCoordinator();
    const stranger = joinAs(url, 'not-the-token');
    expect((await stranger.exited).code).toBe(5);
    expect(stranger.stderr).toMatch(/token/);
    expect(stranger.stderr).toMatch(/hint: .*coord start/s);
    joinAs(url, TOKEN);
    expect(await endsWell(start)).toMatchObject({ event: 'finished', workers: 1 });
  });

  it('because nobody listens there is told to check the address', async () => {
    const worker = await runCoord(['worker', 'ws://127.0.0.1:9', '--wait', '1'], { env: { COORD_TOKEN: TOKEN } });
    expect(worker.code).toBe(6);
    expect(worker.stderr).toMatch(/127\.0\.0\.1:9/);
    expect(worker.stderr).toMatch(/hint: /);
  });

  it('because something else listens there is told that it is no coordinator', async () => {
    const server = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const args = ['worker', `ws://127.0.0.1:${port}`, '--wait', '1'];
    const worker = await runCoord(args, { env: { COORD_TOKEN: TOKEN } });
    server.close();
    expect(worker.code).toBe(6);
    expect(worker.stderr).toMatch(/hint: Something else than a coord process answers there/);
  });
});

describe('a peer that does not keep to the protocol', () => {
  const read = async (link: Link): Promise<CoordinatorMessage> =>
    decodeMessage(coordinatorMessageSchema, await link.receive(), { from: 'the coordinator' });

  const hello = { type: 'hello', name: 'x', hostName: 'x', pid: 1, proof: 'x'.repeat(43), clientNonce: 'x'.repeat(32) };

  it.each([
    [
      'of another version is refused with both versions',
      { ...hello, protocolVersion: PROTOCOL_VERSION + 1 },
      'PROTOCOL_VERSION',
      /protocol/,
    ],
    ['without the proof is refused', { ...hello, protocolVersion: PROTOCOL_VERSION }, 'TOKEN_WRONG', /token/],
  ])('%s', async (_, message, code, text) => {
    const { start, url } = await waitingCoordinator();
    const link = await connectLink(`${url}/join`, { timeoutMs: 5000 });
    expect((await read(link)).type).toBe('challenge');
    await link.send(encodeMessage(message));
    const answer = await read(link);
    expect(answer).toMatchObject({ type: 'refused', code });
    if (answer.type === 'refused') expect(answer.message).toMatch(text);
    await link.closed;
    joinAs(url, TOKEN);
    await endsWell(start);
  });

  it.each([
    ['speaks out of turn', encodeMessage({ type: 'heartbeat', step: 0, generation: 0, phase: 'ring' })],
    ['sends garbage', new Uint8Array([0xc1, 0xff, 0x00])],
    ['sends more than a handshake may hold', new Uint8Array(1024 * 1024)],
  ])('and %s before it is known is cut off; others are served', async (_, frame) => {
    const { start, url } = await waitingCoordinator();
    const link = await connectLink(`${url}/join`, { timeoutMs: 5000 });
    await link.send(frame);
    await link.closed;
    joinAs(url, TOKEN);
    await endsWell(start);
  });

  it('and throws bytes at the listening port does not disturb training', async () => {
    const { start, url } = await waitingCoordinator('--set', 'epochs=10');
    joinAs(url, TOKEN);
    await start.event('step');
    const { hostname, port } = new URL(url);
    for (const bytes of [
      Buffer.alloc(100_000, 0xff),
      Buffer.from('GET /join HTTP/1.1\r\nUpgrade: websocket\r\n\r\n'),
    ]) {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => undefined);
      socket.resume();
      socket.end(bytes);
      await new Promise((resolve) => socket.once('close', resolve));
    }
    await endsWell(start);
  });
});

describe('what lies on the disk', () => {
  async function finishedRun(): Promise<string> {
    const directory = join(temporaryDirectory(), 'run');
    const start = coord([
      'start',
      TINY,
      '--json',
      '--workers',
      '1',
      '--run-dir',
      directory,
      '--set',
      'epochs=2',
      '--set',
      'checkpoint.everySteps=20',
    ]);
    await endsWell(start);
    return directory;
  }
  const checkpointsOf = (directory: string) =>
    readdirSync(join(directory, 'checkpoints'))
      .sort()
      .map((name) => join(directory, 'checkpoints', name));

  it('truncated is named, and never evaluated as if it were whole', async () => {
    const directory = await finishedRun();
    const newest = checkpointsOf(directory).at(-1) as string;
    truncateSync(join(newest, 'weights.safetensors'), 1000);
    const evaluated = await runCoord(['eval', newest]);
    expect(evaluated.code).toBe(4);
    expect(evaluated.stderr).toContain('weights.safetensors');
  });

  it('with one flipped bit is passed over for the one before', async () => {
    const directory = await finishedRun();
    const newest = checkpointsOf(directory).at(-1) as string;
    const file = join(newest, 'optimizer.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 5] ^= 4;
    writeFileSync(file, bytes);
    const resumed = coord(['start', '--resume', directory, '--workers', '1', '--json']);
    const finished = await endsWell(resumed);
    expect(finished.event).toBe('finished');
    const firstStep = resumed.events.find((event) => event.event === 'step')?.step as number;
    expect(firstStep).toBeGreaterThan(1);
  });

  it('without any checkpoint of a run says what to do', async () => {
    const evaluated = await runCoord(['eval', temporaryDirectory()]);
    expect(evaluated.code).toBe(4);
    expect(evaluated.stderr).toMatch(/hint: /);
  });
});

describe('a gradient that is not finite', () => {
  /** Weights that grow without bound within a few steps. */
  const explode = [
    'optimizer.name=sgd',
    'optimizer.learningRate=1000000',
    'regularization.l2=1000',
    'epochs=1',
  ].flatMap((setting) => ['--set', setting]);

  it('ends the run with parameter, grain and step, and exit status 7', async () => {
    const start = await runCoord([
      'start',
      TINY,
      '--workers',
      '2',
      '--run-dir',
      join(temporaryDirectory(), 'run'),
      ...explode,
    ]);
    expect(start.code, start.stdout + start.stderr).toBe(7);
    expect(start.stderr).toMatch(/gradient overflow at parameter \S+, grain \d+ of step \d+/);
    expect(start.stderr).toMatch(/hint: .*learning rate/);
  });

  it('is left out where the configuration says so', async () => {
    const directory = join(temporaryDirectory(), 'run');
    const start = coord([
      'start',
      TINY,
      '--json',
      '--workers',
      '2',
      '--run-dir',
      directory,
      '--set',
      'nonFinite=skip',
      ...explode,
    ]);
    await endsWell(start);
    expect(start.events.some((event) => event.event === 'step' && event.skipped === true)).toBe(true);
  });
});
