/** Peer listeners on loopback that are closed after each test, and what a segment link of the tests is. */
import { afterEach } from 'vitest';
import { createPeerListener, type PeerListener } from '../src/peer-listener.js';
import type { SegmentLinkOptions } from '../src/segment-link.js';

export const HOST = '127.0.0.1';

export const link = (options: Partial<SegmentLinkOptions> = {}): SegmentLinkOptions => ({
  generation: 3,
  rank: 1,
  key: 'the key of this view',
  timeoutMs: 5000,
  ...options,
});

const listeners: PeerListener[] = [];

export async function startListener(holdMs?: number): Promise<PeerListener> {
  const listener = await createPeerListener({ host: HOST, holdMs });
  listeners.push(listener);
  return listener;
}

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.close();
});
