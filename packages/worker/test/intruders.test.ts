/** A scripted malicious peer over real sockets: what it can do to the ring of others, with and without their view. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { createArena, createNonce, type View } from '@coord/protocol';
import { RING_SCRATCH_BYTES, type Ring } from '@coord/ring';
import { createWsNetwork, type PeerNetwork } from '@coord/transport';
import { createCertificate } from '@coord/transport/certificate';
import { afterEach, describe, expect, it } from 'vitest';
import { LinkKeys } from '../src/link-keys.js';
import { openRing } from '../src/ring-links.js';

const TIMEOUT_MS = 5000;
const LENGTH = 1000;

interface Peer {
  readonly network: PeerNetwork;
  readonly keys: LinkKeys;
}

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

async function startPeer(isEncrypted = false): Promise<Peer> {
  const certificate = isEncrypted ? await createCertificate(['127.0.0.1']) : undefined;
  const network = await createWsNetwork({ host: '127.0.0.1', certificate });
  opened.push(network);
  return { network, keys: new LinkKeys() };
}

const viewOf = (peers: readonly Peer[], changes: Partial<View> = {}): View => ({
  runId: 'r',
  generation: 2,
  ringKey: createNonce(),
  reason: 'test',
  members: peers.map(({ network, keys }, rank) => ({
    workerId: `w${rank}`,
    name: `worker ${rank}`,
    endpoint: network.endpoint,
    linkKey: keys.publicKey,
    share: 1,
    workers: 1,
  })),
  ...changes,
});

const open = ({ network, keys }: Peer, view: View, rank: number): Promise<Ring> =>
  openRing(
    { view, rank, signal: new AbortController().signal },
    { network, keys, arena: createArena(RING_SCRATCH_BYTES), timeoutMs: TIMEOUT_MS },
  );

/** The sum of the honest ranks' ones, over whatever links they have. */
async function sumOver(rings: readonly Ring[]): Promise<Set<number>> {
  opened.push(...rings);
  const buffers = rings.map(() => new Int32Array(LENGTH).fill(1));
  await Promise.all(rings.map((ring, rank) => ring.allReduceSum(buffers[rank])));
  return new Set(buffers.flatMap((buffer) => [...buffer]));
}

describe.each([
  ['in the clear', false],
  ['through TLS', true],
])('a ring %s', (_name, isEncrypted) => {
  /** The honest pair opens its ring while the attacker dials the first of them as the second. */
  async function attack(attackersView: (view: View) => View, attacker = startPeer(isEncrypted)) {
    const [a, b, mallory] = await Promise.all([startPeer(isEncrypted), startPeer(isEncrypted), attacker]);
    const view = viewOf([a, b]);
    const forged = attackersView(view);
    const { endpoint } = a.network;
    const dial = mallory.network.dialSegments(endpoint, {
      generation: forged.generation,
      senderRank: 0,
      rank: 1,
      key: mallory.keys.pairKey(a.keys.publicKey, forged),
      timeoutMs: TIMEOUT_MS,
    });
    const refusal = expect(dial).rejects.toMatchObject({ code: 'RING_BROKEN' });
    const sums = await sumOver(await Promise.all([open(a, view, 0), open(b, view, 1)]));
    await refusal;
    return [...sums];
  }

  it('lets nobody in that does not know the view', async () => {
    expect(await attack((view) => ({ ...view, ringKey: createNonce() }))).toEqual([2]);
  });

  it('lets no member in under the name of another', async () => {
    // Mallory knows everything that a member knows: the view and its secret. It has only its own private key.
    expect(await attack((view) => view)).toEqual([2]);
  });

  it('lets nobody in with a view of another run, or a stale generation', async () => {
    expect(await attack((view) => ({ ...view, runId: 'another' }))).toEqual([2]);
    expect(await attack((view) => ({ ...view, generation: 1 }))).toEqual([2]);
  });
});

/** Somebody on the way who writes down everything. */
async function startTap(target: { host: string; port: number }) {
  const seen: Buffer[] = [];
  const server = createServer((near) => {
    const far = connect(target.port, target.host);
    for (const socket of [near, far]) {
      socket.on('error', () => {});
      socket.on('data', (bytes: Buffer) => seen.push(bytes));
    }
    near.pipe(far).pipe(near);
    opened.push({ close: () => far.destroy() }, { close: () => near.destroy() });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push(server);
  return { port: (server.address() as AddressInfo).port, seen: () => Buffer.concat(seen) };
}

describe('what passes on the wire', () => {
  it.each([
    ['is there to be read without TLS', false, true],
    ['is not there to be read with TLS', true, false],
  ])('%s', async (_name, isEncrypted, isReadable) => {
    const [a, b] = await Promise.all([startPeer(isEncrypted), startPeer(isEncrypted)]);
    const tap = await startTap(a.network.endpoint as { host: string; port: number });
    const view = viewOf([a, b]);
    const members = view.members.map((member, rank) =>
      rank === 0 ? { ...member, endpoint: { ...member.endpoint, port: tap.port } } : member,
    );
    const tapped = { ...view, members };
    const rings = await Promise.all([open(a, tapped, 0), open(b, tapped, 1)]);
    opened.push(...rings);
    const secret = 0x5ec12e75;
    await Promise.all(
      rings.map((ring, rank) => ring.allReduceSum(new Int32Array(LENGTH).fill(rank === 0 ? secret : 0))),
    );
    const pattern = Buffer.from(new Int32Array(2).fill(secret).buffer);
    expect(tap.seen().includes(pattern)).toBe(isReadable);
    expect(tap.seen().includes(view.ringKey)).toBe(false);
    expect(tap.seen().length).toBeGreaterThan(LENGTH * 2);
  });
});

describe('a ring through TLS', () => {
  it('is not made with a member whose certificate is another than the view says', async () => {
    const [a, b, mallory] = await Promise.all([startPeer(true), startPeer(true), startPeer(true)]);
    const view = viewOf([a, b]);
    const members = view.members.map((member, rank) =>
      rank === 0 ? { ...member, endpoint: { ...mallory.network.endpoint, certificateSha256: 'A'.repeat(43) } } : member,
    );
    await expect(open(b, { ...view, members }, 1)).rejects.toMatchObject({
      code: 'RING_BROKEN',
      message: expect.stringContaining('was expected'),
    });
  });
});
