/** Questions to a running coordinator over HTTP, through TLS where it speaks it. */
import { type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { CoordError, type ErrorFacts, isCoordError, knownErrorCode, parseToken } from '@coord/protocol';
import { connectTls } from '@coord/transport';
import { z } from 'zod';
import { findCoordinator } from './find-coordinator.js';

const TIMEOUT_MS = 10_000;
/** The status of some thousand workers is smaller. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/**
 * The address of `path` at any address of a coordinator: http or ws, with or without a path. Where the token pins a
 * certificate, an address without a scheme is an encrypted one.
 *
 * @throws CoordError USAGE, also for a plain address beside a token that pins a certificate.
 */
export function coordinatorUrl(address: string, path: string, token?: string): URL {
  const isPinned = token !== undefined && parseToken(token).certificateSha256 !== undefined;
  if (isPinned && /^(http|ws):/i.test(address)) throw notPlain(address);
  const withScheme = /^[a-z]+:\/\//i.test(address) ? address : `${isPinned ? 'https' : 'http'}://${address}`;
  const text = withScheme.replace(/^ws/i, 'http');
  if (!/^https?:\/\/./i.test(text) || !URL.canParse(text)) throw noAddress(address);
  const url = new URL(text);
  url.pathname = path;
  return url;
}

const noAddress = (address: string): CoordError =>
  new CoordError('USAGE', `"${address}" is no address of a coordinator`, {
    hint: 'Give it as http://HOST:PORT, as in http://127.0.0.1:7070.',
    facts: { url: address },
  });

export interface Question {
  readonly method?: 'GET' | 'POST';
  /** Sent as JSON. */
  readonly body?: object;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * The coordinator's answer in JSON, with its HTTP status.
 * @throws CoordError UNREACHABLE, TOKEN_WRONG, CERTIFICATE_WRONG, COORDINATOR_BUSY.
 */
export async function askCoordinator(url: URL, token: string | undefined, question: Question = {}): Promise<Answer> {
  const { status, text: answer } = await request(url, token, question);
  const body = parseJson(url, answer);
  if (status === 401 || status === 403) throw refused(url, body);
  if (status === 429) throw new CoordError('COORDINATOR_BUSY', messageOf(body) ?? `${url.host} is busy`);
  return { status, body };
}

const refusalSchema = z.object({ code: z.string().optional(), message: z.string(), hint: z.string().optional() });

/** Why the coordinator did not do what it was asked. @param otherwise what to say where its answer is none of coord's. */
export function refusalIn(body: unknown, otherwise: string, facts?: ErrorFacts): CoordError {
  const known = refusalSchema.safeParse(body);
  if (!known.success) return new CoordError('USAGE', otherwise, { facts });
  const { code = '', message, hint } = known.data;
  return new CoordError(knownErrorCode(code) ?? 'USAGE', message, { hint, facts });
}

/**
 * The status, as far as `schema` reads it.
 *
 * @param where address of a coordinator, or a run directory.
 * @throws CoordError USAGE (no URL), CHECKPOINT_NOT_FOUND, UNREACHABLE, TOKEN_WRONG.
 */
export async function readStatus<S extends z.ZodType>(
  where: string,
  given: string | undefined,
  schema: S,
): Promise<z.infer<S>> {
  const { address, token } = await findCoordinator(where, given);
  const url = coordinatorUrl(address, '/status', token);
  const { status, body } = await askCoordinator(url, token);
  if (status !== 200) throw unreachable(url, `it answered with HTTP status ${status}`);
  const result = schema.safeParse(body);
  if (!result.success) throw unreachable(url, 'what answers there is another program, or another version of coord');
  return result.data;
}

interface RawAnswer {
  readonly status: number;
  readonly text: string;
}

async function request(url: URL, token: string | undefined, question: Question): Promise<RawAnswer> {
  try {
    return await send(url, token, question);
  } catch (cause) {
    if (isCoordError(cause)) throw cause;
    const why = cause instanceof Error ? cause.message || cause.name : String(cause);
    throw unreachable(url, why, cause);
  }
}

async function send(url: URL, token: string | undefined, { method = 'GET', body }: Question): Promise<RawAnswer> {
  const { secret, certificateSha256 } = token === undefined ? { secret: undefined } : parseToken(token);
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const options = { method, headers: headersOf(secret, payload), signal: AbortSignal.timeout(TIMEOUT_MS) };
  // The secret is sent only when the other end has shown the right certificate.
  const secure = url.protocol === 'https:' ? await connectTls(targetOf(url, certificateSha256), timeout) : undefined;
  const way = secure ? { createConnection: () => secure } : { agent: false };
  return requestText(url, { ...options, ...way }, payload);
}

/** @throws what the socket or the signal failed with; Error when the answer is too long. */
export function requestText(url: URL, options: RequestOptions, payload?: string): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const asked = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options);
    asked.once('error', reject);
    asked.once('response', (response) => {
      textOf(response).then((answer) => resolve({ status: response.statusCode ?? 0, text: answer }), reject);
    });
    asked.end(payload);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    sizeBytes += piece.byteLength;
    if (sizeBytes > MAX_ANSWER_BYTES) throw new Error(`its answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

const timeout = { timeoutMs: TIMEOUT_MS };

export const targetOf = ({ hostname, port }: URL, certificateSha256: string | undefined) => ({
  host: hostname.replace(/^\[|\]$/g, ''),
  port: Number(port || 443),
  certificateSha256,
});

function headersOf(secret: string | undefined, payload: string | undefined): Record<string, string> {
  return {
    ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
    ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
  };
}

function parseJson(url: URL, answer: string): unknown {
  try {
    return JSON.parse(answer);
  } catch (cause) {
    throw unreachable(url, 'its answer is not JSON', cause);
  }
}

const messageOf = (body: unknown): string | undefined => {
  const message = (body as { message?: unknown } | null)?.message;
  return typeof message === 'string' ? message : undefined;
};

const refused = (url: URL, body: unknown): CoordError =>
  new CoordError('TOKEN_WRONG', `${url.host} does not answer this without the right token`, {
    hint: 'Give --token, or set COORD_TOKEN; the coordinator printed it when it started. `coord token` makes others.',
    facts: { url: url.href, answer: messageOf(body) },
  });

const notPlain = (address: string): CoordError =>
  new CoordError('USAGE', `${address} is not encrypted, but the token belongs to a coordinator that is`, {
    hint: `Use ${address.replace(/^(http|ws):/i, 'https:')}.`,
    facts: { url: address },
  });

const unreachable = (url: URL, why: string, cause?: unknown): CoordError =>
  new CoordError('UNREACHABLE', `no coordinator answers at ${url.origin}: ${why}`, {
    hint: 'Check that `coord start` is running and that the address is the one it printed.',
    facts: { url: url.origin },
    cause,
  });
