import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** An IPv4 address that came through an IPv6 socket is still an IPv4 address. */
export const plainAddress = (address: string | undefined): string => (address ?? 'unknown').replace(/^::ffff:/, '');

export const hostForUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** Where the other end of a server's connection is, as text for people. */
export function remoteOf(socket: Duplex): string {
  const { remoteAddress, remotePort, destroyed } = socket as Socket;
  if (remoteAddress === undefined && !destroyed) return 'a local socket';
  return `${hostForUrl(plainAddress(remoteAddress))}:${remotePort ?? 0}`;
}
