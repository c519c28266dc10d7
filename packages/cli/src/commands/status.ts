import { CoordError, EXIT_CODE } from '@coord/protocol';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { StatusOptions } from '../options.js';
import { findToken } from '../token.js';
import { formatStatus, statusSchema } from '../view/status.js';

const TIMEOUT_MS = 10_000;

/** @throws CoordError USAGE (no URL), UNREACHABLE, TOKEN_WRONG. */
export async function runStatus(url: string, options: StatusOptions, io: CommandIo): Promise<number> {
  const address = statusUrl(url);
  const answer = await fetchStatus(address, findToken(options.token, io.env));
  const status = statusSchema.safeParse(answer);
  if (!status.success) throw unreachable(address, 'what answers there is another program, or another version of coord');
  if (options.json) writeJson(io.stdout, { event: 'status', ...(answer as object) });
  else writeLine(io.stdout, formatStatus(status.data));
  return EXIT_CODE.ok;
}

/** The address of `/status` for any address of a coordinator: http or ws, with or without a path. */
export function statusUrl(text: string): URL {
  const withScheme = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(withScheme)) {
    throw new CoordError('USAGE', `"${text}" is no address of a coordinator`, {
      hint: 'Give it as http://HOST:PORT, as in http://127.0.0.1:7070.',
      facts: { url: text },
    });
  }
  const url = new URL(withScheme.replace(/^ws/i, 'http'));
  url.pathname = '/status';
  return url;
}

async function fetchStatus(url: URL, token: string | undefined): Promise<unknown> {
  const response = await request(url, token);
  if (response.status === 401 || response.status === 403) {
    throw new CoordError('TOKEN_WRONG', `${url.host} does not show its status without the right token`, {
      hint: 'Give --token, or set COORD_TOKEN; the coordinator printed it when it started.',
      facts: { url: url.href },
    });
  }
  if (!response.ok) throw unreachable(url, `it answered with HTTP status ${response.status}`);
  return response.json().catch((cause: unknown) => {
    throw unreachable(url, 'its answer is not JSON', cause);
  });
}

async function request(url: URL, token: string | undefined): Promise<Response> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    return await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (cause) {
    const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    throw unreachable(url, inner instanceof Error ? inner.message || inner.name : String(inner), cause);
  }
}

const unreachable = (url: URL, why: string, cause?: unknown): CoordError =>
  new CoordError('UNREACHABLE', `no coordinator answers at ${url.origin}: ${why}`, {
    hint: 'Check that `coord start` is running and that the address is the one it printed.',
    facts: { url: url.origin },
    cause,
  });
