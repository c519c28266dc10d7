import { createArena, type View } from '@coord/protocol';
import { doublingPartners, RING_SCRATCH_BYTES, type Ring } from '@coord/ring';
import { createWsNetwork, type PeerNetwork } from '@coord/transport';
import { createNatsNetwork, NatsGateway } from '@coord/transport/nats';
import { natsServerProgram, startNatsServer } from '@coord/transport/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { LinkKeys } from '../src/link-keys.js';
import type { ActiveView } from '../src/membership.js';
import { openRing } from '../src/ring-links.js';

const TIMEOUT_MS = 10_000;
/** Small enough for recursive doubling, and too large for it. */
const [SMALL, LARGE] = [1000, 100_000];

const keysOf = new WeakMap<PeerNetwork, LinkKeys>();
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

async function openNetworks(count: number, localSocket = false): Promise<PeerNetwork[]> {
  const place = { host: '127.0.0.1', localSocket };
  const networks = await Promise.all(Array.from({ length: count }, () => createWsNetwork(place)));
  opened.push(...networks);
  for (const network of networks) keysOf.set(network, new LinkKeys());
  return networks;
}

function viewOver(networks: readonly PeerNetwork[], generation = 1): View {
  const members = networks.map((network, rank) => ({
    workerId: `w${rank}`,
    name: `worker ${rank}`,
    endpoint: network.endpoint,
    linkKey: keysOf.get(network)?.publicKey,
    share: 1,
    workers: 1,
  }));
  return { runId: 'r', generation, members, ringKey: 'the key of this view', reason: 'test' };
}

function open(view: View, rank: number, network: PeerNetwork, signal = new AbortController().signal): Promise<Ring> {
  const active: ActiveView = { view, rank, signal };
  const keys = keysOf.get(network)!;
  return openRing(active, { network, keys, arena: createArena(RING_SCRATCH_BYTES), timeoutMs: TIMEOUT_MS });
}

async function openAll(networks: readonly PeerNetwork[], view: View): Promise<Ring[]> {
  const rings = await Promise.all(networks.map((network, rank) => open(view, rank, network)));
  opened.push(...rings);
  return rings;
}

/** Counts links at the end that accepts them: every link has one. */
function countLinks(networks: readonly PeerNetwork[]): () => number {
  let count = 0;
  for (const network of networks) {
    const accept = network.acceptSegments;
    Object.assign(network, {
      acceptSegments: (options: Parameters<typeof accept>[0]) => {
        count++;
        return accept(options);
      },
    });
  }
  return () => count;
}

describe('the links of a view', () => {
  it.each([2, 3, 4, 5, 7, 8])('add up small and large buffers over %i hosts', async (size) => {
    const networks = await openNetworks(size);
    const rings = await openAll(networks, viewOver(networks));
    for (const length of [SMALL, LARGE, SMALL]) {
      const buffers = rings.map(({ rank }) => new Int32Array(length).fill(10 ** rank));
      await Promise.all(rings.map((ring, rank) => ring.allReduceSum(buffers[rank])));
      const sum = Number('1'.repeat(size));
      for (const buffer of buffers) expect(buffer.every((value) => value === sum)).toBe(true);
    }
  });

  it.skipIf(process.platform === 'win32')(
    'go through local sockets on one machine where hosts have them (skipped on Windows: it has none), whatever is at the ports',
    async () => {
      const networks = await openNetworks(3, true);
      const view = viewOver(networks);
      const members = view.members.map((member) => ({ ...member, endpoint: { ...member.endpoint, port: 1 } }));
      const rings = await openAll(networks, { ...view, members });
      const buffers = rings.map(() => new Int32Array(LARGE).fill(1));
      await Promise.all(rings.map((ring, rank) => ring.allReduceSum(buffers[rank])));
      for (const buffer of buffers) expect(buffer.every((value) => value === 3)).toBe(true);
    },
  );

  it('are one a direction and peer: a neighbour that is a partner as well has no second one', async () => {
    const networks = await openNetworks(6);
    const count = countLinks(networks);
    await openAll(networks, viewOver(networks));
    const directed = new Set(
      networks.flatMap((_, rank) => [
        `${rank}>${(rank + 1) % 6}`,
        ...doublingPartners({ rank, size: 6 }).map((peer) => `${rank}>${peer}`),
      ]),
    );
    expect(count()).toBe(directed.size);
  });

  it('are all closed when a partner that is no neighbour is lost', async () => {
    const networks = await openNetworks(4);
    const rings = await openAll(networks, viewOver(networks));
    const lost = 2;
    await rings[lost].close();
    const others = rings.filter(({ rank }) => rank !== lost);
    const results = await Promise.allSettled(others.map((ring) => ring.allReduceSum(new Int32Array(SMALL))));
    for (const result of results) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'RING_BROKEN' } });
    }
  });

  it('are opened without a word of warning in a view of many hosts, where each has many', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on('warning', onWarning);
    const [network] = await openNetworks(1);
    const opening = open(viewOver(Array.from({ length: 100 }, () => network)), 0, network);
    await expect(opening).rejects.toBeInstanceOf(Error);
    await new Promise(setImmediate);
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });

  it('are given up together when the view changes while they open, and leave no dial behind', async () => {
    const networks = await openNetworks(4);
    const abort = new AbortController();
    // Rank 3 never comes, so nobody's set of links is complete.
    const opening = [0, 1, 2].map((rank) => open(viewOver(networks), rank, networks[rank], abort.signal));
    const settled = Promise.allSettled(opening);
    setTimeout(() => abort.abort(), 50);
    for (const { status } of await settled) expect(status).toBe('rejected');
    const rings = await openAll(networks, viewOver(networks, 2));
    const buffers = rings.map(() => new Int32Array(SMALL).fill(1));
    await Promise.all(rings.map((ring, rank) => ring.allReduceSum(buffers[rank])));
    expect(buffers.every((buffer) => buffer.every((value) => value === 4))).toBe(true);
  });
});

describe.skipIf(natsServerProgram === undefined)('the links of a view over NATS (skipped: no nats-server)', () => {
  it('are lost with the server, which ends the view and no worker', async () => {
    const server = await startNatsServer();
    const gateway = await NatsGateway.open({ servers: server.url, timeoutMs: TIMEOUT_MS });
    opened.push(gateway);
    const networks = [1, 2].map(() => createNatsNetwork(gateway, 'coord.test'));
    for (const network of networks) keysOf.set(network, new LinkKeys());
    await server.stop('SIGKILL');
    const isThere = () => {
      try {
        return gateway.connection !== undefined;
      } catch {
        return false;
      }
    };
    await expect.poll(isThere).toBe(false);
    const opening = open(viewOver(networks), 0, networks[0]);
    await expect(opening).rejects.toMatchObject({ code: 'LINK_CLOSED', facts: { peer: 1 } });
  });
});
