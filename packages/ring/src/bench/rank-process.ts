/** Program of one rank of the bench; its parent tells it what to do. */
import type { SocketEndpoint, WireFormat } from '@coord/protocol';
import { createPeerListener, dialSegments } from '@coord/transport';
import { acceptNatsSegments, dialNatsSegments, openNats } from '@coord/transport/nats';
import { createRing } from '../ring.js';
import type { Neighbours } from '../transfer.js';
import { createBenchArena, RankWork } from './rank-work.js';

export interface RankSetup {
  readonly rank: number;
  readonly ranks: number;
  readonly maxBytes: number;
  readonly wire: WireFormat;
  /** Links go over this NATS server instead of sockets between the ranks. */
  readonly natsUrl?: string;
  /** Links are Unix-domain sockets. */
  readonly localSocket?: boolean;
  /** Where this rank listens. Default 127.0.0.1. */
  readonly host?: string;
}

export type RankCommand =
  | { readonly type: 'link'; readonly endpoints: readonly SocketEndpoint[] }
  | { readonly type: 'time'; readonly bytes: number; readonly iterations: number }
  | { readonly type: 'stop' };

const TIMEOUT_MS = 60_000;
const {
  rank,
  ranks,
  maxBytes,
  wire,
  natsUrl,
  localSocket,
  host = '127.0.0.1',
} = JSON.parse(process.argv[2]) as RankSetup;
const [nextRank, prevRank] = [(rank + 1) % ranks, (rank + ranks - 1) % ranks];
const options = { generation: 1, key: 'bench', timeoutMs: TIMEOUT_MS };
const listener = await createPeerListener({ host, localSocket });
const nats = natsUrl === undefined ? undefined : await openNats({ servers: natsUrl, timeoutMs: TIMEOUT_MS });
let work: RankWork | undefined;

async function neighbours(endpoints: readonly SocketEndpoint[]): Promise<Partial<Neighbours>> {
  if (ranks === 1) return {};
  const [next, prev] = await Promise.all(nats ? natsLinks(nats) : socketLinks(endpoints));
  return { next, prev };
}

const socketLinks = (endpoints: readonly SocketEndpoint[]) =>
  [
    listener.acceptSegments({ ...options, rank: nextRank }),
    dialSegments(endpoints[prevRank], { ...options, rank }),
  ] as const;

function natsLinks(connection: Awaited<ReturnType<typeof openNats>>) {
  const prefix = `coord.bench.${process.ppid}`;
  return [
    acceptNatsSegments({ ...options, connection, prefix, senderRank: rank, rank: nextRank }),
    dialNatsSegments({ ...options, connection, prefix, senderRank: prevRank, rank }),
  ] as const;
}

async function link(endpoints: readonly SocketEndpoint[]): Promise<RankWork> {
  const { next, prev } = await neighbours(endpoints);
  const arena = createBenchArena(maxBytes);
  const ring = createRing({ rank, size: ranks, next, prev, timeoutMs: TIMEOUT_MS }, arena);
  return new RankWork(ring, arena, maxBytes, wire);
}

async function stop(): Promise<void> {
  await listener.close();
  await nats?.close();
}

async function obey(command: RankCommand): Promise<unknown> {
  if (command.type === 'link') work = await link(command.endpoints);
  if (command.type === 'time') return work?.time(command.bytes, command.iterations);
  if (command.type === 'stop') await stop();
  return {};
}

process.on('message', (command: RankCommand) => {
  void obey(command).then((answer) => {
    process.send?.(answer);
    if (command.type === 'stop') process.disconnect();
  });
});
process.send?.(listener.endpoint);
