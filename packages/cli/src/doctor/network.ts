/** The network: a segment link over loopback, and the way to a coordinator. */
import { createToken } from '@coord/protocol';
import { createPeerListener, dialSegments, type SegmentReceiver, type SegmentSender } from '@coord/transport';
import { z } from 'zod';
import { coordinatorUrl } from '../status-client.js';
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
    await Promise.all([sender.send(outgoing), receiver.receive(incoming)]);
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

/** @throws CoordError USAGE when `address` is none; an unreachable coordinator is a finding. */
export async function examineCoordinator(address: string): Promise<CoordinatorReport> {
  const url = coordinatorUrl(address, '/healthz');
  try {
    // The first one opens the connection.
    await roundTrip(url);
    const trips: RoundTrip[] = [];
    for (let trip = 0; trip < ROUND_TRIPS; trip++) trips.push(await roundTrip(url));
    trips.sort((a, b) => a.ms - b.ms);
    // The fastest one says most about the clock.
    const [{ skewMs }] = trips;
    return { url: url.origin, reachable: true, roundTripMs: trips[ROUND_TRIPS / 2].ms, clockSkewMs: skewMs };
  } catch (error) {
    return { url: url.origin, reachable: false, reason: reasonOf(error) };
  }
}

async function roundTrip(url: URL): Promise<RoundTrip> {
  const [startMs, wallMs] = [performance.now(), Date.now()];
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const ms = performance.now() - startMs;
  const health = healthSchema.safeParse(await response.json().catch(() => null));
  if (!health.success) throw new Error('what answers there is no coordinator');
  const { timeMs } = health.data;
  return { ms, skewMs: timeMs === undefined ? null : Math.round(timeMs - (wallMs + ms / 2)) };
}

function reasonOf(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return inner instanceof Error ? inner.message || inner.name : String(inner);
}
