/** Our ring without a network: all ranks in one thread, linked in memory, at a rate and a latency that one may choose. */
import { createSegmentPair, type SegmentPair } from '@coord/transport/testing';
import { doublingPartners, type Partners } from '../doubling.js';
import { createRing } from '../ring.js';
import type { Contender } from './contender.js';
import { doublingBytesOf, type RankSetup, RING_TIMEOUT_MS } from './rank-service.js';
import { createBenchArena, RankWork } from './rank-work.js';

export interface MemoryLinks {
  readonly latencyMs?: number;
  /** Of each direction of each link. */
  readonly bytesPerSecond?: number;
}

export function startMemory(
  { ranks: size, maxBytes, wire, schedule }: Omit<RankSetup, 'rank'>,
  links: MemoryLinks = {},
): Contender {
  const pairs = new Map<string, SegmentPair>();
  /** The same link for both of its ends. */
  const linkOf = (from: number, to: number): SegmentPair => {
    const key = `${from}-${to}`;
    const pair = pairs.get(key) ?? createSegmentPair(links);
    pairs.set(key, pair);
    return pair;
  };
  const partnersOf = (rank: number): Partners =>
    new Map(
      doublingPartners({ rank, size }).map((peer) => [
        peer,
        { sender: linkOf(rank, peer).sender, receiver: linkOf(peer, rank).receiver },
      ]),
    );
  const works = Array.from({ length: size }, (_, rank) => {
    const arena = createBenchArena(maxBytes);
    const next = size === 1 ? undefined : linkOf(rank, (rank + 1) % size).sender;
    const prev = size === 1 ? undefined : linkOf((rank + size - 1) % size, rank).receiver;
    const partners = size === 1 ? undefined : partnersOf(rank);
    const context = { rank, size, next, prev, partners, timeoutMs: RING_TIMEOUT_MS };
    const ring = createRing({ ...context, doublingBytes: doublingBytesOf(schedule) }, arena);
    return new RankWork(ring, arena, maxBytes, wire);
  });
  return {
    name: 'memory',
    ranks: size,
    async time(bytes, iterations) {
      const timings = await Promise.all(works.map((work) => work.time(bytes, iterations)));
      return { ms: timings[0].ms, wrong: timings.reduce((sum, { wrong }) => sum + wrong, 0) };
    },
    async stop() {
      await Promise.all(works.map((work) => work.close()));
    },
  };
}
