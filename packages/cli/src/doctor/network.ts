/** The network: a segment link over loopback, and the way to a coordinator. */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createToken, isCoordError, parseToken } from '@coord/protocol';
import {
  connectTls,
  createPeerListener,
  dialSegments,
  type SegmentReceiver,
  type SegmentSender,
} from '@coord/transport';
import { z } from 'zod';
import { coordinatorUrl, requestText, targetOf } from '../status-client.js';
import type { CoordinatorReport, LoopbackReport } from './report.js';

const SEGMENT_BYTES = 1024 * 1024;
const LOOPBACK_MS = 500;
const TIMEOUT_MS = 10_000;
const ROUND_TRIPS = 20;

/** Throughput of the ring's data plane with both ends on one thread: what the operating system and WebSocket frames cost. */
export async function examineLoopback(): Promise<LoopbackReport> {
  const listener = await createPeerListener({ host: '127.0.0.1' });
  try {
    const options = { generation: 1, rank: 0, key: createToken(), timeoutMs: TIMEOUT_MS };
    const accepted = listener.acceptSegments(options);
    const receiver = await dialSegments(listener.endpoint, options);
    return { bytesPerSecond: await throughputOf(await accepted, receiver) };
  } finally {
    await listener.close();
  }
}

async function throughputOf(sender: SegmentSender, receiver: SegmentReceiver): Promise<number> {
  const outgoing = new Uint8Array(SEGMENT_BYTES).fill(1);
  const incoming = new Uint8Array(SEGMENT_BYTES);
  const startMs = performance.now();
  let bytes = 0;
  while (performance.now() - startMs < LOOPBACK_MS) {
    await Promise.all([sender.send(outgoing), receiver.receive([incoming])]);
    bytes += SEGMENT_BYTES;
  }
  const seconds = (performance.now() - startMs) / 1000;
  receiver.close();
  sender.close();
  return bytes / seconds;
}

const healthSchema = z.object({ ok: z.literal(true), timeMs: z.number().optional() });

interface RoundTrip {
  readonly ms: number;
  readonly skewMs: number | null;
}

/**
 * @param token for the certificate that it names; its secret is not sent.
 * @throws CoordError USAGE when `address` is none, or a plain one beside a token with a fingerprint; an unreachable coordinator,
 *   or one with another certificate, is a finding.
 */
export async function examineCoordinator(address: string, token?: string): Promise<CoordinatorReport> {
  const url = coordinatorUrl(address, '/healthz', token);
  let connection: HttpAgent | undefined;
  try {
    connection = await connectionTo(url, token);
    // The first one opens the connection.
    await roundTrip(url, connection);
    const trips: RoundTrip[] = [];
    for (let trip = 0; trip < ROUND_TRIPS; trip++) trips.push(await roundTrip(url, connection));
    trips.sort((a, b) => a.ms - b.ms);
    // The fastest one says most about the clock.
    const [{ skewMs }] = trips;
    return { url: url.origin, reachable: true, roundTripMs: trips[ROUND_TRIPS / 2].ms, clockSkewMs: skewMs };
  } catch (error) {
    return { url: url.origin, reachable: false, reason: reasonOf(error) };
  } finally {
    connection?.destroy();
  }
}

/** One connection for all questions; an encrypted one ends at the certificate that the token names. */
async function connectionTo(url: URL, token: string | undefined): Promise<HttpAgent> {
  const options = { keepAlive: true, maxSockets: 1 };
  if (url.protocol !== 'https:') return new HttpAgent(options);
  const certificateSha256 = token === undefined ? undefined : parseToken(token).certificateSha256;
  const secure = await connectTls(targetOf(url, certificateSha256), { timeoutMs: TIMEOUT_MS });
  return Object.assign(new HttpsAgent(options), { createConnection: () => secure });
}

async function roundTrip(url: URL, agent: HttpAgent): Promise<RoundTrip> {
  const [startMs, wallMs] = [performance.now(), Date.now()];
  const { text } = await requestText(url, { agent, signal: AbortSignal.timeout(TIMEOUT_MS) });
  const ms = performance.now() - startMs;
  const health = healthSchema.safeParse(parsed(text));
  if (!health.success) throw new Error('what answers there is no coordinator');
  const { timeMs } = health.data;
  return { ms, skewMs: timeMs === undefined ? null : Math.round(timeMs - (wallMs + ms / 2)) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  if (isCoordError(error)) return error.message;
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return inner instanceof Error ? inner.message || inner.name : String(inner);
}
