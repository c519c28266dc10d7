/** Addresses: which peers are this machine itself, and by which URLs others can reach it. */
import { networkInterfaces } from 'node:os';
import type { Endpoint } from '@coord/protocol';

/** True for 127.0.0.0/8 and ::1, also in IPv4-mapped form. */
export function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.replace(/^::ffff:/i, '');
  return plain === '::1' || /^127\.\d+\.\d+\.\d+$/.test(plain);
}

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';

export const formatHost = (host: string): string => (host.includes(':') ? `[${host}]` : host);

type Scheme = 'ws' | 'wss';

/** A wildcard is no address that another machine can dial: the interfaces' own addresses stand for it. */
export function reachableUrls(
  { host, port }: Endpoint,
  scheme: Scheme = 'ws',
  interfaces = networkInterfaces(),
): string[] {
  const urlOf = (address: string): string => `${scheme}://${formatHost(address)}:${port}`;
  if (!isWildcard(host)) return [urlOf(host)];
  const addresses = Object.values(interfaces)
    .flatMap((found) => found ?? [])
    .filter((found) => !found.internal && (found.family === 'IPv4' || host === '::'))
    .filter((found) => !found.address.startsWith('fe80:'))
    .map((found) => found.address);
  return [...addresses, '127.0.0.1'].map(urlOf);
}
