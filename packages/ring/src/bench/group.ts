/** A group of our ranks as a contender, wherever each of them runs. */
import { createToken, type SocketEndpoint } from '@coord/protocol';
import type { Contender, Timing } from './contender.js';

/** One rank as whoever measures sees it. All promises reject when the rank is gone. */
export interface RankHandle {
  readonly endpoint: SocketEndpoint;
  /** @param key of the links; ranks that share a secret with this end make their own of it. */
  link(endpoints: readonly SocketEndpoint[], key: string): Promise<void>;
  time(bytes: number, iterations: number): Promise<Timing>;
  stop(): Promise<void>;
}

/** @param key default: one that is made for this group. */
export async function joinRanks(name: string, group: readonly RankHandle[], key = createToken()): Promise<Contender> {
  const endpoints = group.map(({ endpoint }) => endpoint);
  await Promise.all(group.map((rank) => rank.link(endpoints, key)));
  return {
    name,
    ranks: group.length,
    async time(bytes, iterations) {
      const timings = await Promise.all(group.map((rank) => rank.time(bytes, iterations)));
      return { ms: timings[0].ms, wrong: timings.reduce((sum, { wrong }) => sum + wrong, 0) };
    },
    async stop() {
      // After a failure some are gone already, and the others must be stopped all the same.
      await Promise.allSettled(group.map((rank) => rank.stop()));
    },
  };
}
