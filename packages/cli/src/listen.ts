/** `HOST:PORT` ↔ its parts. */

/** IPv6 hosts stand in brackets; port 0 takes any free one. */
export const LISTEN_PATTERN = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):(\d{1,5})$/;

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** @param text of LISTEN_PATTERN */
export function parseListen(text: string): ListenAddress {
  const [, host = text, port = Number.NaN] = LISTEN_PATTERN.exec(text) ?? [];
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

export const isLoopback = (host: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host);
