/** TLS, tokens and the lock of a run, by the real program: what a user does, and what somebody tries who should not. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type CoordEvent,
  type CoordProcess,
  coord,
  endAll,
  killWorkersOf,
  ledgerEntries,
  runCoord,
  temporaryDirectory,
} from './support/coord.js';

const SETTINGS = ['epochs=100000', 'checkpoint.everySteps=500', 'local=processes'].flatMap((text) => ['--set', text]);
const directories: string[] = [];

afterEach(async () => {
  await endAll();
  for (const directory of directories.splice(0)) killWorkersOf(directory);
});

interface Started {
  readonly url: string;
  readonly token: string;
}

const startedOf = async (start: CoordProcess): Promise<Started> =>
  (await start.event('started')) as CoordEvent & Started;

const joinRun = (url: string, token: string, ...more: string[]): CoordProcess =>
  coord(['worker', url, '--json', ...more], { env: { COORD_TOKEN: token } });

async function codeOf(process: CoordProcess): Promise<unknown> {
  await process.exited;
  return process.events.at(-1)?.code ?? process.stderr;
}

describe('a run through TLS', () => {
  it('pins its certificate, keeps it over a kill, and has one coordinator at a time', async () => {
    const directory = join(temporaryDirectory(), 'run');
    directories.push(directory);
    const where = ['--run-dir', directory, '--listen', '127.0.0.1:0', '--workers', '1', '--json'];
    const start = coord(['start', 'configs/synthetic-tiny.yaml', ...SETTINGS, ...where, '--tls']);
    const { url, token } = await startedOf(start);
    expect(url).toMatch(/^wss:/);
    expect(token).toMatch(/\.sha256-[\w-]{43}$/);
    expect(statSync(join(directory, 'tls', 'key.pem')).mode & 0o777).toBe(0o600);

    // Two hosts: their ring goes through TLS too.
    const guest = joinRun(url, token, '--name', 'guest');
    await start.event((event) => event.event === 'view' && (event.members as unknown[]).length === 2);
    const [bare, wrong, plain] = await Promise.all([
      codeOf(joinRun(url, token.split('.sha256-')[0])),
      codeOf(joinRun(url, token.replace(/.{43}$/, 'A'.repeat(43)))),
      codeOf(joinRun(url.replace('wss', 'ws'), token)),
    ]);
    expect([bare, wrong, plain]).toEqual(['CERTIFICATE_WRONG', 'CERTIFICATE_WRONG', 'USAGE']);
    const status = await runCoord(['status', url.replace('wss', 'https'), '--token', token, '--json']);
    expect(status.events[0]).toMatchObject({ event: 'status' });
    // The directory's owner needs to know neither address nor token.
    const why = await runCoord(['why', directory, '--json']);
    expect(why.events[0]).toMatchObject({ event: 'why' });

    const second = await runCoord(['start', '--resume', directory, '--listen', '127.0.0.1:0', '--json']);
    expect([second.code, second.events.at(-1)?.code]).toEqual([5, 'RUN_LOCKED']);

    await start.event((event) => event.event === 'checkpoint');
    start.kill('SIGKILL');
    await start.exited;
    const again = coord(['start', '--resume', directory, '--json']);
    expect(await startedOf(again)).toMatchObject({ url, token });
    await guest.event('returned');
    again.kill('SIGINT');
    expect((await again.exited).code).toBe(130);
    expect(await guest.exited).toEqual({ code: 0, signal: null });
  });
});

describe('coord token', () => {
  it('makes, rotates and revokes, beside a running coordinator and without one', async () => {
    const directory = join(temporaryDirectory(), 'run');
    directories.push(directory);
    const where = ['--run-dir', directory, '--listen', '127.0.0.1:0', '--workers', '1', '--json'];
    const start = coord(['start', 'configs/synthetic-tiny.yaml', ...SETTINGS, ...where]);
    const { url, token } = await startedOf(start);
    const made = await runCoord(['token', 'create', directory, '--name', 'lab', '--json']);
    const [{ id, text }] = made.events as (CoordEvent & { id: string; text: string })[];
    const guest = joinRun(url, text, '--name', 'guest');
    await start.event((event) => event.event === 'view' && (event.members as unknown[]).length === 2);

    // A worker's token does not rule over tokens.
    const thief = await runCoord(['token', 'list', url, '--token', token, '--json']);
    expect([thief.code, thief.events.at(-1)?.code]).toEqual([5, 'TOKEN_WRONG']);
    const revoked = await runCoord(['token', 'revoke', 'lab', directory, '--disconnect', '--json']);
    expect(revoked.events[0]).toMatchObject({ event: 'token-revoked', id, disconnected: 1 });
    expect(await codeOf(guest)).toBe('TOKEN_WRONG');
    expect(await codeOf(joinRun(url, text))).toBe('TOKEN_WRONG');
    await start.event((event) => event.event === 'step', start.events.length);
    start.kill('SIGINT');
    await start.exited;

    const rotated = await runCoord(['token', 'rotate', 'join', directory, '--json']);
    expect(rotated.events[0]).toMatchObject({ event: 'token-rotated', name: 'join', old: { id: 't1' } });
    const again = coord(['start', '--resume', directory, '--json']);
    expect((await startedOf(again)).token).toBe((rotated.events[0] as CoordEvent & { text: string }).text);
    const entries = ledgerEntries(directory);
    expect(entries.filter(({ type }) => type === 'token-revoked').map(({ tokenId }) => tokenId)).toEqual([id, 't1']);
    expect(entries).toContainEqual(expect.objectContaining({ type: 'worker-joined', name: 'guest', tokenId: id }));
    expect(JSON.stringify(entries)).not.toContain(text);
  });
});
