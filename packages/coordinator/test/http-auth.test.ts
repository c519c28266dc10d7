import { CoordError } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { FailedAttempts } from '../src/access/failed-attempts.js';
import { TokenBook } from '../src/access/token-book.js';
import { TOKEN_ROLES } from '../src/access/token-record.js';
import { isLoopback, reachableUrls } from '../src/addresses.js';
import { createHttpServer, type HttpOptions } from '../src/http-server.js';
import type { ClusterStatus } from '../src/status.js';
import { FakeClock } from './fake-clock.js';

const status = { step: 3 } as ClusterStatus;

const SECRETS = { worker: 'secret-of-a-worker', observer: 'secret-of-an-observer', operator: 'secret-of-an-operator' };

async function bookOfAll(): Promise<TokenBook> {
  const book = new TokenBook({ tokens: [], runSecret: 'secret of the run' }, async () => {});
  for (const role of TOKEN_ROLES) await book.create({ name: role, role, secret: SECRETS[role] });
  return book;
}

const tokenActions = { created() {}, revoked: () => 0, textOf: ({ secret }: { secret: string }) => secret };

async function serverWith(changes: Partial<HttpOptions> = {}) {
  const tokens = await bookOfAll();
  const failures = new FailedAttempts(new FakeClock());
  return createHttpServer({ tokens, failures, tokenActions, status: () => status, drain: () => undefined, ...changes });
}

const ask = async (remoteAddress: string, authorization?: string): Promise<number> => {
  const app = await serverWith();
  const headers = authorization === undefined ? {} : { authorization };
  const { statusCode } = await app.inject({ url: '/status', remoteAddress, headers });
  await app.close();
  return statusCode;
};

describe('the status', () => {
  it('is open to this machine', async () => {
    expect(await ask('127.0.0.1')).toBe(200);
    expect(await ask('::1')).toBe(200);
    expect(await ask('::ffff:127.0.0.1')).toBe(200);
  });

  it('is closed to strangers, and open to those that know the token', async () => {
    expect(await ask('192.0.2.7')).toBe(401);
    expect(await ask('192.0.2.7', 'Bearer wrong')).toBe(401);
    expect(await ask('192.0.2.7', `Basic ${SECRETS.worker}`)).toBe(401);
    for (const secret of Object.values(SECRETS)) expect(await ask('192.0.2.7', `Bearer ${secret}`)).toBe(200);
    expect(await ask('192.0.2.7', `Bearer ${SECRETS.worker}.sha256-${'A'.repeat(43)}`)).toBe(200);
  });
});

describe('a drain', () => {
  const drain = async (worker: string, remoteAddress: string, headers: Record<string, string> = {}) => {
    const asked: string[] = [];
    const app = await serverWith({
      drain(name) {
        asked.push(name);
        if (name === 'last') throw new CoordError('USAGE', 'it is the only worker', { hint: 'Add another.' });
        return name === 'w2' ? 'w2 (second)' : undefined;
      },
    });
    const response = await app.inject({ method: 'POST', url: `/drain/${worker}`, remoteAddress, headers });
    await app.close();
    return { code: response.statusCode, body: response.json(), asked };
  };

  it('reaches the worker, by this machine or by an operator', async () => {
    expect(await drain('w2', '127.0.0.1')).toMatchObject({ code: 200, body: { draining: 'w2 (second)' } });
    const by = (secret: string) => drain('w2', '192.0.2.7', { authorization: `Bearer ${secret}` });
    expect(await by(SECRETS.operator)).toMatchObject({ code: 200 });
    expect(await by(SECRETS.worker)).toMatchObject({ code: 401, asked: [] });
    expect(await by(SECRETS.observer)).toMatchObject({ code: 401, asked: [] });
  });

  it('is refused to strangers and to web pages, without asking anybody', async () => {
    expect(await drain('w2', '192.0.2.7')).toMatchObject({ code: 401, asked: [] });
    expect(await drain('w2', '127.0.0.1', { origin: 'http://elsewhere.example' })).toMatchObject({
      code: 401,
      asked: [],
    });
  });

  it('says that there is no such worker, or why it cannot leave', async () => {
    expect(await drain('w9', '127.0.0.1')).toMatchObject({ code: 404, body: { code: 'USAGE' } });
    expect(await drain('last', '127.0.0.1')).toMatchObject({ code: 409, body: { message: 'it is the only worker' } });
  });
});

describe('addresses', () => {
  it('of this machine are told from others', () => {
    expect(isLoopback('127.8.9.1')).toBe(true);
    expect(isLoopback('128.0.0.1')).toBe(false);
    expect(isLoopback('127.0.0.1.example')).toBe(false);
    expect(isLoopback(undefined)).toBe(false);
  });

  it('for workers are those of the interfaces where the host is a wildcard', () => {
    const base = { netmask: '', mac: '', cidr: null };
    const interfaces = {
      lo: [{ ...base, address: '127.0.0.1', family: 'IPv4' as const, internal: true }],
      eth: [{ ...base, address: '192.0.2.7', family: 'IPv4' as const, internal: false }],
    };
    const urls = reachableUrls({ host: '0.0.0.0', port: 7070 }, 'ws', interfaces);
    expect(urls).toEqual(['ws://192.0.2.7:7070', 'ws://127.0.0.1:7070']);
    expect(reachableUrls({ host: '::1', port: 1 })).toEqual(['ws://[::1]:1']);
  });
});
