/** One rank of the bench: links itself with the others, and reduces when it is told to. */
import type { SocketEndpoint, WireFormat } from '@coord/protocol';
import {
  createPeerListener,
  dialSegments,
  type PeerListener,
  type SegmentReceiver,
  type SegmentSender,
} from '@coord/transport';
import { createCertificate } from '@coord/transport/certificate';
import { acceptNatsSegments, dialNatsSegments, openNats } from '@coord/transport/nats';
import { doublingPartners, type Partners } from '../doubling.js';
import { createRing, type RingContext } from '../ring.js';
import type { Timing } from './contender.js';
import { createBenchArena, RankWork } from './rank-work.js';

export const SCHEDULES = ['auto', 'ring', 'doubling'] as const;
/** `auto`: by size, as in training; `doubling` is for buffers of at most 96 KB, longer ones go over the ring. */
export type ScheduleChoice = (typeof SCHEDULES)[number];

export interface RankSetup {
  readonly rank: number;
  readonly ranks: number;
  readonly maxBytes: number;
  readonly wire: WireFormat;
  /** Default `auto`. */
  readonly schedule?: ScheduleChoice;
  /** Links go over this NATS server instead of sockets between the ranks. */
  readonly natsUrl?: string;
  /** Subjects of these ranks' links. */
  readonly natsPrefix?: string;
  /** Links are Unix-domain sockets. */
  readonly localSocket?: boolean;
  /** Links go through TLS, with a certificate that this rank makes. */
  readonly tls?: boolean | undefined;
  /** Where this rank listens. Default 127.0.0.1. */
  readonly host?: string;
}

type Links = Pick<RingContext, 'next' | 'prev' | 'partners'>;

/** How a rank comes by its links: it takes what it sends through, and dials what it receives from. */
interface Ways {
  accept(peer: number): Promise<SegmentSender>;
  dial(peer: number): Promise<SegmentReceiver>;
}

export const RING_TIMEOUT_MS = 60_000;

/** What `doublingBytes` of a ring is for each choice. */
export const doublingBytesOf = (schedule: ScheduleChoice = 'auto'): number | undefined =>
  ({ auto: undefined, ring: 0, doubling: Number.MAX_SAFE_INTEGER })[schedule];

export class RankService {
  private work: RankWork | undefined;

  private constructor(
    private readonly setup: RankSetup,
    private readonly listener: PeerListener,
    private readonly nats: Awaited<ReturnType<typeof openNats>> | undefined,
  ) {}

  /** @throws CoordError PORT_IN_USE, UNREACHABLE. */
  static async start(setup: RankSetup): Promise<RankService> {
    const { natsUrl, localSocket, tls, host = '127.0.0.1' } = setup;
    const certificate = tls ? await createCertificate([host]) : undefined;
    const listener = await createPeerListener({ host, localSocket, certificate });
    const nats = natsUrl === undefined ? undefined : await openNats({ servers: natsUrl, timeoutMs: RING_TIMEOUT_MS });
    return new RankService(setup, listener, nats);
  }

  get endpoint(): SocketEndpoint {
    return this.listener.endpoint;
  }

  /** @param key that the ends of each link prove to know. @throws CoordError RING_BROKEN, LINK_TIMEOUT. */
  async link(endpoints: readonly SocketEndpoint[], key: string): Promise<void> {
    const { rank, ranks: size, maxBytes, wire, schedule } = this.setup;
    const links = size === 1 ? { next: undefined, prev: undefined } : await this.openLinks(endpoints, key);
    const arena = createBenchArena(maxBytes);
    const context = { rank, size, ...links, timeoutMs: RING_TIMEOUT_MS, doublingBytes: doublingBytesOf(schedule) };
    this.work = new RankWork(createRing(context, arena), arena, maxBytes, wire);
  }

  /** @throws CoordError of the ring. */
  async time(bytes: number, iterations: number): Promise<Timing> {
    if (!this.work) throw new Error('a rank of the bench was asked to reduce before it was linked');
    return this.work.time(bytes, iterations);
  }

  async stop(): Promise<void> {
    await this.work?.close();
    await this.listener.close();
    await this.nats?.close();
  }

  /** To and from the neighbours and the partners of recursive doubling, as in training. */
  private async openLinks(endpoints: readonly SocketEndpoint[], key: string): Promise<Links> {
    const { rank, ranks: size } = this.setup;
    const [next, prev] = [(rank + 1) % size, (rank + size - 1) % size];
    const partnerRanks = doublingPartners({ rank, size });
    const { accept, dial } = this.nats ? this.overNats(this.nats, key) : this.overSockets(endpoints, key);
    const [senders, receivers] = await Promise.all([
      linksWith([next, ...partnerRanks], accept),
      linksWith([prev, ...partnerRanks], dial),
    ]);
    const partners: Partners = new Map(
      partnerRanks.flatMap((peer) => {
        const [sender, receiver] = [senders.get(peer), receivers.get(peer)];
        return sender && receiver ? [[peer, { sender, receiver }] as const] : [];
      }),
    );
    return { next: senders.get(next), prev: receivers.get(prev), partners };
  }

  private overSockets(endpoints: readonly SocketEndpoint[], key: string): Ways {
    const options = { generation: 1, key, timeoutMs: RING_TIMEOUT_MS };
    return {
      accept: (peer) => this.listener.acceptSegments({ ...options, rank: peer }),
      dial: (peer) => dialSegments(endpoints[peer], { ...options, rank: this.setup.rank }),
    };
  }

  private overNats(connection: NonNullable<typeof this.nats>, key: string): Ways {
    const { rank, natsPrefix: prefix = 'coord.bench' } = this.setup;
    const options = { generation: 1, key, timeoutMs: RING_TIMEOUT_MS, connection, prefix };
    return {
      accept: (peer) => acceptNatsSegments({ ...options, senderRank: rank, rank: peer }),
      dial: (peer) => dialNatsSegments({ ...options, senderRank: peer, rank }),
    };
  }
}

/** One link with each of these ranks, though some stand there twice. */
async function linksWith<Link>(
  ranks: readonly number[],
  open: (peer: number) => Promise<Link>,
): Promise<Map<number, Link>> {
  const opening = [...new Set(ranks)].map(async (peer) => [peer, await open(peer)] as const);
  return new Map(await Promise.all(opening));
}
