import { describe, expect, it } from 'vitest';
import { isLoopback, reachableUrls } from '../src/addresses.js';
import { createHttpServer } from '../src/http-server.js';
import type { ClusterStatus } from '../src/status.js';

const status = { step: 3 } as ClusterStatus;

const ask = async (remoteAddress: string, authorization?: string): Promise<number> => {
  const app = createHttpServer({ token: 'secret-token', status: () => status });
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
