import { CoordError } from '@coord/protocol';
import { describe, expect, it } from 'vitest';
import { isLoopback, reachableUrls } from '../src/addresses.js';
import { createHttpServer } from '../src/http-server.js';
import type { ClusterStatus } from '../src/status.js';

const status = { step: 3 } as ClusterStatus;

const ask = async (remoteAddress: string, authorization?: string): Promise<number> => {
  const app = createHttpServer({ token: 'secret-token', status: () => status, drain: () => undefined });
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
    expect(await ask('192.0.2.7', 'Basic secret-token')).toBe(401);
    expect(await ask('192.0.2.7', 'Bearer secret-token')).toBe(200);
  });
});

describe('a drain', () => {
  const drain = async (worker: string, remoteAddress: string, headers: Record<string, string> = {}) => {
    const asked: string[] = [];
    const app = createHttpServer({
      token: 'secret-token',
      status: () => status,
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

  it('reaches the worker, by this machine or by the token', async () => {
    expect(await drain('w2', '127.0.0.1')).toMatchObject({ code: 200, body: { draining: 'w2 (second)' } });
    expect(await drain('w2', '192.0.2.7', { authorization: 'Bearer secret-token' })).toMatchObject({ code: 200 });
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
    const urls = reachableUrls({ host: '0.0.0.0', port: 7070 }, interfaces);
    expect(urls).toEqual(['ws://192.0.2.7:7070', 'ws://127.0.0.1:7070']);
    expect(reachableUrls({ host: '::1', port: 1 })).toEqual(['ws://[::1]:1']);
  });
});
