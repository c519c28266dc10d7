import { CoordError, isRecoverable, type View } from '@coord/protocol';
import { createWsNetwork } from '@coord/transport';
import { describe, expect, it } from 'vitest';
import { LinkKeys } from '../src/link-keys.js';
import { orPeerLoss } from '../src/peer-loss.js';
import { stateSource } from '../src/state-link.js';

describe('a member that cannot be reached', () => {
  it('is a loss that names it and ends the view, not the worker', async () => {
    const [near, gone] = [await createWsNetwork({ host: '127.0.0.1' }), await createWsNetwork({ host: '127.0.0.1' })];
    const member = { workerId: 'w1', name: 'gone', endpoint: gone.endpoint, linkKey: undefined, share: 1, workers: 1 };
    await gone.close();
    const view = { runId: 'r', generation: 1, members: [member], ringKey: 'a key', reason: 'test' } satisfies View;
    const clock = { nowMs: () => 0, after: () => () => {} };
    const { signal } = new AbortController();
    const source = stateSource({ network: near, keys: new LinkKeys(), view, clock, timeoutMs: 2000, signal }, 0);
    const error = await source.open().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'LINK_CLOSED', facts: { peer: 0 } });
    expect(String(error)).toMatch(/worker gone \(rank 0\): cannot reach/);
    expect(isRecoverable(error)).toBe(true);
    await near.close();
  });

  it('changes no error that says already what to do', async () => {
    const changed = new CoordError('VIEW_CHANGED', 'there is a newer one');
    await expect(orPeerLoss(Promise.reject(changed), 1, 'a peer')).rejects.toBe(changed);
    const denied = new CoordError('NATS_DENIED', 'no links at all for this worker');
    await expect(orPeerLoss(Promise.reject(denied), 1, 'a peer')).rejects.toBe(denied);
    const bug = new TypeError('a bug');
    await expect(orPeerLoss(Promise.reject(bug), 1, 'a peer')).rejects.toBe(bug);
  });
});
