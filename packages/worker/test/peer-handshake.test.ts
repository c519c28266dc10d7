import { createNonce, decodeMessage, encodeMessage, peerChallengeSchema, peerWelcomeSchema } from '@coord/protocol';
import { createWsNetwork, type Link, type PeerNetwork } from '@coord/transport';
import { afterEach, describe, expect, it } from 'vitest';
import { type KeyedView, LinkKeys } from '../src/link-keys.js';
import { challengePeer, greetPeer } from '../src/peer-handshake.js';

const SERVICE = 'state';
const view: KeyedView = { runId: 'run', generation: 7, ringKey: createNonce() };
const networks: PeerNetwork[] = [];

afterEach(async () => {
  for (const network of networks.splice(0)) await network.close();
});

interface Served {
  readonly keys: LinkKeys;
  readonly network: PeerNetwork;
  /** How each meeting ended: the dialer's link key, or the error. */
  readonly meetings: Promise<string>[];
  dial(): Promise<Link>;
}

/** A host that serves one service over real sockets, as the worker does. */
async function serve(current: () => KeyedView | undefined = () => view): Promise<Served> {
  const network = await createWsNetwork({ host: '127.0.0.1' });
  networks.push(network);
  const keys = new LinkKeys();
  const meetings: Promise<string>[] = [];
  network.onLink(SERVICE, (link) => {
    const meeting = challengePeer(link, { service: SERVICE, keys, view: current });
    meetings.push(meeting);
    meeting.catch((error: Error) => link.close(error.message));
  });
  return { keys, network, meetings, dial: () => network.dialLink(network.endpoint, SERVICE, { timeoutMs: 5000 }) };
}

const greet = (link: Link, { keys: { publicKey } }: Served, keys: LinkKeys, known: KeyedView = view) =>
  greetPeer(link, { service: SERVICE, view: known, keys, peerKey: publicKey });

const hear = (link: Link) =>
  link.receive().then((bytes) => decodeMessage(peerChallengeSchema, bytes, { from: 'test' }));

/** Sees what one end sends, and may change it. */
const tapped = (link: Link, onSend: (bytes: Uint8Array) => Uint8Array): Link =>
  new Proxy(link, {
    get(target, name) {
      if (name === 'send') return (bytes: Uint8Array) => target.send(onSend(bytes));
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });

describe('two hosts of a view', () => {
  it('prove themselves to each other, and the listener learns whose link it is', async () => {
    const served = await serve();
    const keys = new LinkKeys();
    await greet(await served.dial(), served, keys);
    expect(await served.meetings[0]).toBe(keys.publicKey);
  });

  it('the pair has one key in a view, other pairs and other views have others', () => {
    const [a, b, c] = [new LinkKeys(), new LinkKeys(), new LinkKeys()];
    const key = a.pairKey(b.publicKey, view);
    expect(b.pairKey(a.publicKey, view)).toBe(key);
    const others = [
      a.pairKey(c.publicKey, view),
      c.pairKey(a.publicKey, view),
      a.pairKey(b.publicKey, { ...view, generation: 8 }),
      a.pairKey(b.publicKey, { ...view, runId: 'another' }),
      a.pairKey(b.publicKey, { ...view, ringKey: createNonce() }),
    ];
    expect(others).not.toContain(key);
    expect(others[0]).toBe(others[1]);
  });

  it('a key that is none, or of small order, is named', () => {
    const keys = new LinkKeys();
    for (const peer of [undefined, 'x', Buffer.alloc(32).toString('base64url')]) {
      expect(() => keys.pairKey(peer, view)).toThrow(expect.objectContaining({ code: 'RING_BROKEN' }));
    }
  });
});

describe('who does not belong to the view', () => {
  it('without its secret learns nothing, and is told nothing', async () => {
    const served = await serve();
    const link = await served.dial();
    const outsider = { ...view, ringKey: createNonce() };
    await expect(greet(link, served, new LinkKeys(), outsider)).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    await expect(served.meetings[0]).rejects.toMatchObject({ code: 'RING_BROKEN' });
  });

  it('with the secret still cannot take the name of another member', async () => {
    const served = await serve();
    const [member, liar] = [new LinkKeys(), new LinkKeys()];
    const link = tapped(await served.dial(), (bytes) => {
      const text = Buffer.from(bytes).toString('latin1').replace(liar.publicKey, member.publicKey);
      return Buffer.from(text, 'latin1');
    });
    await expect(greet(link, served, liar)).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    await expect(served.meetings[0]).rejects.toMatchObject({ code: 'RING_BROKEN' });
  });

  it('cannot use a recorded hello again', async () => {
    const served = await serve();
    let recorded = new Uint8Array();
    await greet(
      tapped(await served.dial(), (bytes) => {
        recorded = Buffer.from(bytes);
        return bytes;
      }),
      served,
      new LinkKeys(),
    );
    const replay = await served.dial();
    await hear(replay);
    await replay.send(recorded);
    await expect(replay.receive()).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    await expect(served.meetings[1]).rejects.toMatchObject({ code: 'RING_BROKEN' });
  });

  it('cannot give a dialer its own proof back', async () => {
    const network = await createWsNetwork({ host: '127.0.0.1' });
    networks.push(network);
    network.onLink(SERVICE, (link) => {
      void (async () => {
        await link.send(encodeMessage({ type: 'peer-challenge', nonce: createNonce() }));
        const { proof } = decodeMessage(peerWelcomeSchema.loose(), patchType(await link.receive()), { from: 'test' });
        await link.send(encodeMessage({ type: 'peer-welcome', proof }));
      })();
    });
    const link = await network.dialLink(network.endpoint, SERVICE, { timeoutMs: 5000 });
    const peerKey = new LinkKeys().publicKey;
    await expect(greetPeer(link, { service: SERVICE, view, keys: new LinkKeys(), peerKey })).rejects.toMatchObject({
      code: 'RING_BROKEN',
    });
  });

  it('of an older generation is refused', async () => {
    const served = await serve(() => ({ ...view, generation: 8 }));
    const link = await served.dial();
    await expect(greet(link, served, new LinkKeys())).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    await expect(served.meetings[0]).rejects.toMatchObject({ facts: { theirs: 7, generation: 8 } });
  });

  it('cannot make the listener read more than a handshake', async () => {
    const served = await serve();
    const link = await served.dial();
    await hear(link);
    await link.send(new Uint8Array(20_000));
    await expect(served.meetings[0]).rejects.toMatchObject({ code: 'FRAME_TOO_LARGE' });
  });

  it('cannot make the listener hold more than that, whatever its frame announces', async () => {
    const served = await serve();
    const link = await served.dial();
    await hear(link);
    link.send(new Uint8Array(7 * 1024 * 1024)).catch(() => {});
    // Cut off, not refused after it has been read.
    expect(await link.closed).toMatchObject({ clean: false });
  });
});

/** A hello, read as if it were a welcome. */
const patchType = (bytes: Uint8Array): Uint8Array =>
  Buffer.from(Buffer.from(bytes).toString('latin1').replace('\xaapeer-hello', '\xacpeer-welcome'), 'latin1');
