/** Questions to a running coordinator over HTTP. */
import { CoordError } from '@coord/protocol';
import type { z } from 'zod';

const TIMEOUT_MS = 10_000;

/** The address of `path` at any address of a coordinator: http or ws, with or without a path. @throws CoordError USAGE */
export function coordinatorUrl(text: string, path: string): URL {
  const withScheme = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(withScheme)) {
    throw new CoordError('USAGE', `"${text}" is no address of a coordinator`, {
      hint: 'Give it as http://HOST:PORT, as in http://127.0.0.1:7070.',
      facts: { url: text },
    });
  }
  const url = new URL(withScheme.replace(/^ws/i, 'http'));
  url.pathname = path;
  return url;
}

export type Method = 'GET' | 'POST';

/**
 * The coordinator's answer in JSON, with its HTTP status.
 * @throws CoordError UNREACHABLE, TOKEN_WRONG.
 */
export async function askCoordinator(
  url: URL,
  token: string | undefined,
  method: Method = 'GET',
): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await request(url, token, method);
  if (response.status === 401 || response.status === 403) {
    throw new CoordError('TOKEN_WRONG', `${url.host} does not answer this without the right token`, {
      hint: 'Give --token, or set COORD_TOKEN; the coordinator printed it when it started.',
      facts: { url: url.href },
    });
  }
  const body: unknown = await response.json().catch((cause: unknown) => {
    throw unreachable(url, 'its answer is not JSON', cause);
  });
  return { status: response.status, body };
}

/** The status, as far as `schema` reads it. @throws CoordError USAGE (no URL), UNREACHABLE, TOKEN_WRONG. */
export async function readStatus<S extends z.ZodType>(
  address: string,
  token: string | undefined,
  schema: S,
): Promise<z.infer<S>> {
  const url = coordinatorUrl(address, '/status');
  const { status, body } = await askCoordinator(url, token);
  if (status !== 200) throw unreachable(url, `it answered with HTTP status ${status}`);
  const result = schema.safeParse(body);
  if (!result.success) throw unreachable(url, 'what answers there is another program, or another version of coord');
  return result.data;
}

async function request(url: URL, token: string | undefined, method: Method): Promise<Response> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    return await fetch(url, { method, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
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
