import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { dialSegments } from '../src/dial-segments.js';
import { createPeerListener, type PeerListener } from '../src/peer-listener.js';
import type { SegmentLinkOptions } from '../src/segment-link.js';
import { connectLink } from '../src/ws-connect.js';
import { createDialNonce, isLinkProof, writeAcceptResponse, writeDialRequest } from '../src/ws-handshake.js';
import { testSegmentLink } from './segment-compliance.js';

const HOST = '127.0.0.1';
const link = (options: Partial<SegmentLinkOptions> = {}): SegmentLinkOptions => ({
  generation: 3,
  rank: 1,
  key: 'the key of this view',
  timeoutMs: 5000,
  ...options,
});

const listeners: PeerListener[] = [];
const startListener = async (holdMs?: number): Promise<PeerListener> => {
  const listener = await createPeerListener({ host: HOST, holdMs });
  listeners.push(listener);
  return listener;
};
const openSockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.close();
});

/** A TCP relay in front of a listener, so that a test can cut the wire. */
async function startRelay(target: { host: string; port: number }) {
  const sockets: Socket[] = [];
  const relay = createServer((near) => {
    const far = connect(target);
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on('error', () => {});
    near.pipe(far).pipe(near);
  });
  relay.listen(0, HOST);
  await once(relay, 'listening');
  const { port } = relay.address() as { port: number };
  return {
    endpoint: { host: HOST, port },
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
    close: () => relay.close(),
  };
}

testSegmentLink('WebSocket', async () => {
  const listener = await createPeerListener({ host: HOST });
  const relay = await startRelay(listener.endpoint);
  const [sender, receiver] = await Promise.all([listener.acceptSegments(link()), dialSegments(relay.endpoint, link())]);
  return {
    sender,
    receiver,
    cut: relay.cut,
    async dispose() {
      receiver.close();
      relay.cut();
      relay.close();
      await listener.close();
      await receiver.closed;
    },
  };
});

describe('bringing dial and accept together', () => {
  it('works in either order', async () => {
    const listener = await startListener();
    for (const [generation, dialsFirst] of [
      [1, true],
      [2, false],
    ] as const) {
      const dial = () => dialSegments(listener.endpoint, link({ generation }));
      const early = dialsFirst ? dial() : undefined;
      if (early) await new Promise((resolve) => setTimeout(resolve, 20));
      const accepted = listener.acceptSegments(link({ generation }));
      const receiver = await (early ?? dial());
      const target = new Uint8Array(4);
      const received = receiver.receive(target);
      await (await accepted).send(new Uint8Array([1, 2, 3, 4]));
      await received;
      expect([...target]).toEqual([1, 2, 3, 4]);
      receiver.close();
    }
  });

  it('keeps ranks and generations apart', async () => {
    const listener = await startListener();
    const ranks = [0, 1, 2];
    const accepted = ranks.map((rank) => listener.acceptSegments(link({ rank })));
    const receivers = await Promise.all(
      [...ranks].reverse().map((rank) => dialSegments(listener.endpoint, link({ rank }))),
    );
    receivers.reverse();
    for (const [rank, sender] of (await Promise.all(accepted)).entries()) {
      const target = new Uint8Array(1);
      const received = receivers[rank].receive(target);
      await sender.send(new Uint8Array([rank]));
      await received;
      expect(target[0]).toBe(rank);
      receivers[rank].close();
    }
  });

  it('keeps links of one rank for several purposes apart', async () => {
    const listener = await startListener();
    const purposes = ['ring', 'doubling'];
    const accepted = purposes.map((purpose) => listener.acceptSegments(link({ purpose })));
    const dialed = [...purposes].reverse().map((purpose) => dialSegments(listener.endpoint, link({ purpose })));
    const receivers = (await Promise.all(dialed)).reverse();
    for (const [index, sender] of (await Promise.all(accepted)).entries()) {
      const target = new Uint8Array(1);
      const received = receivers[index].receive(target);
      await sender.send(new Uint8Array([index]));
      await received;
      expect(target[0]).toBe(index);
      receivers[index].close();
    }
  });

  it('refuses a wrong key, and goes on waiting for the right one', async () => {
    const listener = await startListener();
    const accepted = listener.acceptSegments(link());
    await expect(dialSegments(listener.endpoint, link({ key: 'another key' }))).rejects.toMatchObject({
      code: 'RING_BROKEN',
      message: expect.stringContaining('403'),
      facts: { generation: 3, rank: 1 },
    });
    const receiver = await dialSegments(listener.endpoint, link());
    await accepted;
    receiver.close();
  });

  it('refuses an older generation, also one that was waiting', async () => {
    const listener = await startListener();
    const waiting = dialSegments(listener.endpoint, link({ generation: 2 }));
    const refusal = expect(waiting).rejects.toMatchObject({ code: 'RING_BROKEN', facts: { generation: 2 } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const controller = new AbortController();
    const accepted = listener.acceptSegments(link({ generation: 3, signal: controller.signal }));
    await refusal;
    await expect(dialSegments(listener.endpoint, link({ generation: 1 }))).rejects.toMatchObject({
      code: 'RING_BROKEN',
      message: expect.stringContaining('409'),
    });
    controller.abort();
    await expect(accepted).rejects.toMatchObject({ code: 'LINK_CLOSED' });
  });

  it('times out on either side and says for whom', async () => {
    const listener = await startListener();
    await expect(listener.acceptSegments(link({ timeoutMs: 20 }))).rejects.toMatchObject({
      code: 'LINK_TIMEOUT',
      facts: { rank: 1, generation: 3, timeoutMs: 20 },
    });
    await expect(dialSegments(listener.endpoint, link({ timeoutMs: 20 }))).rejects.toMatchObject({
      code: 'LINK_TIMEOUT',
      facts: { rank: 1, generation: 3 },
    });
  });

  it('turns a dial away that nobody comes for', async () => {
    const listener = await startListener(20);
    await expect(dialSegments(listener.endpoint, link())).rejects.toMatchObject({
      code: 'RING_BROKEN',
      message: expect.stringContaining('408'),
    });
  });

  it('can be given up by a signal on either side', async () => {
    const listener = await startListener();
    const controller = new AbortController();
    const { signal } = controller;
    const outcomes = Promise.allSettled([
      listener.acceptSegments(link({ signal })),
      dialSegments(listener.endpoint, link({ rank: 2, signal })),
    ]);
    controller.abort();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'LINK_CLOSED' } });
    }
  });

  it('says RING_BROKEN where nobody listens', async () => {
    const listener = await createPeerListener({ host: HOST });
    await listener.close();
    await expect(dialSegments(listener.endpoint, link())).rejects.toMatchObject({ code: 'RING_BROKEN' });
  });

  it('does not trust a listener that cannot prove the key', async () => {
    const impostor = createServer((socket) => {
      socket.once('data', (bytes) => {
        const nonce = /Sec-WebSocket-Key: (\S+)/.exec(bytes.toString())?.[1] ?? '';
        socket.write(
          writeAcceptResponse('a guessed key', { generation: 3, rank: 1, purpose: 'ring', nonce, channelBinding: '' }),
        );
      });
    });
    impostor.listen(0, HOST);
    await once(impostor, 'listening');
    const { port } = impostor.address() as { port: number };
    await expect(dialSegments({ host: HOST, port }, link())).rejects.toMatchObject({
      code: 'RING_BROKEN',
      message: expect.stringContaining('does not know the key'),
    });
    impostor.close();
  });

  it('rejects those who wait when the listener closes, and leaves no socket behind', async () => {
    const before = openSockets();
    const listener = await createPeerListener({ host: HOST });
    const outcomes = Promise.allSettled([
      listener.acceptSegments(link()),
      dialSegments(listener.endpoint, link({ rank: 2 })),
    ]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await listener.close();
    for (const outcome of await outcomes) expect(outcome.status).toBe('rejected');
    await new Promise(setImmediate);
    expect(openSockets()).toBe(before);
  });
});

describe('a peer listener', () => {
  it('serves message links by path beside the ring', async () => {
    const listener = await startListener();
    listener.onLink('/state', (accepted) => void accepted.send(new Uint8Array([7])));
    const client = await connectLink(`ws://${HOST}:${listener.endpoint.port}/state`, { timeoutMs: 5000 });
    expect([...(await client.receive())]).toEqual([7]);
    await expect(connectLink(`ws://${HOST}:${listener.endpoint.port}/none`, { timeoutMs: 5000 })).rejects.toMatchObject(
      { facts: { status: 404 } },
    );
    await client.close();
  });

  it('says PORT_IN_USE with a hint', async () => {
    const listener = await startListener();
    await expect(createPeerListener(listener.endpoint)).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      facts: { port: listener.endpoint.port },
      hint: expect.stringContaining('another port'),
    });
  });

  it('refuses a dial that is malformed', async () => {
    const listener = await startListener();
    const good = writeDialRequest('x', 'key', {
      generation: 1,
      rank: 0,
      purpose: 'ring',
      nonce: createDialNonce(),
      channelBinding: '',
    });
    const bad = [
      good.replace('generation=1', 'generation=one'),
      good.replace('rank=0', 'rank=-1'),
      good.replace('purpose=ring', 'purpose=../x'),
      good.replace('Version: 13', 'Version: 8'),
      good.replace(/Key: .*/, 'Key: short'),
      good.replace(/x-coord-proof: .*\r\n/, ''),
      `${good}early data`,
    ];
    for (const request of bad) {
      const socket = connect(listener.endpoint.port, HOST);
      socket.write(request);
      const [answer] = await once(socket, 'data');
      expect(String(answer)).toMatch(/^HTTP\/1\.1 400 /);
      socket.destroy();
    }
  });

  it('takes a recorded dial only once', async () => {
    const listener = await startListener();
    const recorded = writeDialRequest('x', link().key, {
      generation: 3,
      rank: 1,
      purpose: 'ring',
      nonce: createDialNonce(),
      channelBinding: '',
    });
    const replay = async () => {
      const socket = connect(listener.endpoint.port, HOST);
      socket.write(recorded);
      const [answer] = await once(socket, 'data');
      socket.destroy();
      return String(answer).split('\r\n', 1)[0];
    };
    const first = listener.acceptSegments(link());
    expect(await replay()).toMatch(/^HTTP\/1\.1 101/);
    await first;
    const second = listener.acceptSegments(link());
    expect(await replay()).toMatch(/^HTTP\/1\.1 403/);
    const receiver = await dialSegments(listener.endpoint, link());
    await second;
    receiver.close();
  });

  it('finds the right dial among those of strangers that came first', async () => {
    const listener = await startListener();
    const strangers = [1, 2].map((n) => dialSegments(listener.endpoint, link({ key: `guess ${n}` })));
    const refusals = strangers.map((dial) => expect(dial).rejects.toMatchObject({ code: 'RING_BROKEN' }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const dialed = dialSegments(listener.endpoint, link());
    await new Promise((resolve) => setTimeout(resolve, 20));
    await listener.acceptSegments(link());
    (await dialed).close();
    await Promise.all(refusals);
  });

  it('survives garbage instead of HTTP', async () => {
    const listener = await startListener();
    const socket = connect(listener.endpoint.port, HOST);
    socket.on('error', () => {}).resume();
    socket.write(Buffer.alloc(2000, 0xee));
    await once(socket, 'close');
    const accepted = listener.acceptSegments(link());
    const receiver = await dialSegments(listener.endpoint, link());
    await accepted;
    receiver.close();
  });
});

/** The `ws` library as an independent peer: does the standard agree with us? */
describe('RFC 6455 conformance', () => {
  const dialWithWs = (port: number, key = link().key) => {
    let proof = '';
    // ws chooses its own nonce, which the proof must cover: sign it while the request is made.
    const client = new WebSocket(`ws://${HOST}:${port}/ring?generation=3&rank=1&purpose=ring`, {
      perMessageDeflate: false,
      finishRequest(request) {
        const nonce = String(request.getHeader('sec-websocket-key'));
        const text = writeDialRequest(HOST, key, {
          generation: 3,
          rank: 1,
          purpose: 'ring',
          nonce,
          channelBinding: '',
        });
        proof = /x-coord-proof: (\S+)/.exec(text)?.[1] ?? '';
        request.setHeader('x-coord-proof', proof);
        request.end();
      },
    });
    return client;
  };

  it('a stock client understands our frames, and its pings and goodbye are answered', async () => {
    const listener = await startListener();
    const accepted = listener.acceptSegments(link());
    const client = dialWithWs(listener.endpoint.port);
    const messages: Buffer[] = [];
    client.on('message', (data) => messages.push(data as Buffer));
    await once(client, 'open');
    const sender = await accepted;
    const sizes = [0, 1, 125, 126, 65535, 65536, 700_000];
    for (const size of sizes) await sender.send(new Uint8Array(3).fill(1), new Uint8Array(size).fill(2));
    client.ping('are you there');
    const [pong] = await once(client, 'pong');
    expect(String(pong)).toBe('are you there');
    while (messages.length < sizes.length) await once(client, 'message');
    expect(messages.map((message) => message.length - 3)).toEqual(sizes);
    client.close(1000, 'enough');
    expect(await sender.closed).toEqual({ clean: true, reason: 'enough' });
    await once(client, 'close');
  });

  it('a stock client sees our goodbye as a clean close', async () => {
    const listener = await startListener();
    const accepted = listener.acceptSegments(link());
    const client = dialWithWs(listener.endpoint.port);
    await once(client, 'open');
    (await accepted).close();
    const [code, reason] = await once(client, 'close');
    expect(code).toBe(1000);
    expect(String(reason)).toBe('closed by the sender');
  });

  it('a client that sends data against the direction is closed with 1002', async () => {
    const listener = await startListener();
    const accepted = listener.acceptSegments(link());
    const client = dialWithWs(listener.endpoint.port);
    await once(client, 'open');
    client.send(new Uint8Array(10));
    const [code] = await once(client, 'close');
    expect(code).toBe(1002);
    expect((await (await accepted).closed).reason).toContain('one-way');
  });

  const stockServer = async () => {
    const server = new WebSocketServer({ port: 0, host: HOST, perMessageDeflate: false });
    await once(server, 'listening');
    server.on('headers', (headers, request) => {
      const nonce = String(request.headers['sec-websocket-key']);
      const answer = writeAcceptResponse(link().key, {
        generation: 3,
        rank: 1,
        purpose: 'ring',
        nonce,
        channelBinding: '',
      });
      headers.push(/x-coord-proof: \S+/.exec(answer)?.[0] ?? '');
    });
    const { port } = server.address() as { port: number };
    const connected = once(server, 'connection') as Promise<[WebSocket]>;
    const receiver = await dialSegments({ host: HOST, port }, link());
    const [peer] = await connected;
    return { server, receiver, peer };
  };

  it('we understand a stock server: frames of all sizes, fragments, pings, goodbye', async () => {
    const { server, receiver, peer } = await stockServer();
    const sizes = [0, 1, 125, 126, 65535, 65536, 700_000];
    for (const size of sizes) peer.send(new Uint8Array(size).fill(size & 0xff));
    for (const size of sizes) {
      const target = new Uint8Array(size);
      await receiver.receive(target);
      expect(target.every((byte) => byte === (size & 0xff))).toBe(true);
    }
    peer.send(new Uint8Array(1000).fill(1), { fin: false });
    peer.ping('between the fragments');
    peer.send(new Uint8Array(0), { fin: false });
    peer.send(new Uint8Array(90_000).fill(2), { fin: true });
    const target = new Uint8Array(91_000);
    await receiver.receive(target);
    expect(target.every((byte, index) => byte === (index < 1000 ? 1 : 2))).toBe(true);
    peer.ping('still there');
    const [pong] = await once(peer, 'pong');
    expect(String(pong)).toMatch(/between the fragments|still there/);
    peer.close(1000, 'enough');
    expect(await receiver.closed).toEqual({ clean: true, reason: 'enough' });
    server.close();
  });

  it('a stock server sees our goodbye as a clean close', async () => {
    const { server, receiver, peer } = await stockServer();
    receiver.close();
    const [code] = await once(peer, 'close');
    expect(code).toBe(1000);
    server.close();
  });

  it('text, oversize frames and wrong fragments are refused with the standard codes', async () => {
    const cases: [(peer: WebSocket) => void, number, string][] = [
      [(peer) => peer.send('text'), 1002, 'FRAME_INVALID'],
      [(peer) => peer.send(new Uint8Array(17 * 1024 * 1024)), 1009, 'FRAME_TOO_LARGE'],
      [
        (peer) => {
          peer.send(new Uint8Array(3), { fin: false });
          peer.send(new Uint8Array(3), { fin: true });
        },
        1002,
        'FRAME_INVALID',
      ],
    ];
    for (const [misbehave, code, error] of cases) {
      const { server, receiver, peer } = await stockServer();
      const received = expect(receiver.receive(new Uint8Array(5))).rejects.toMatchObject({ code: error });
      misbehave(peer);
      await received;
      const [closeCode] = await once(peer, 'close');
      expect(closeCode).toBe(code);
      server.close();
    }
  });

  it('garbage after the handshake is refused', async () => {
    for (const garbage of [Buffer.alloc(40, 0xff), Buffer.from([0x82, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9])]) {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', (bytes) => {
          const nonce = /Sec-WebSocket-Key: (\S+)/.exec(bytes.toString())?.[1] ?? '';
          socket.write(
            writeAcceptResponse(link().key, { generation: 3, rank: 1, purpose: 'ring', nonce, channelBinding: '' }),
          );
          socket.write(garbage);
        });
      });
      server.listen(0, HOST);
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      const receiver = await dialSegments({ host: HOST, port }, link());
      await expect(receiver.receive(new Uint8Array(5))).rejects.toMatchObject({ code: 'FRAME_INVALID' });
      expect((await receiver.closed).clean).toBe(false);
      server.close();
    }
  });

  it('the two proofs of a handshake differ, so neither can be echoed as the other', () => {
    const identity = { generation: 3, rank: 1, purpose: 'ring', nonce: createDialNonce(), channelBinding: '' };
    const dialProof = /x-coord-proof: (\S+)/.exec(writeDialRequest('x', 'key', identity))?.[1] ?? '';
    expect(isLinkProof(dialProof, 'dial', 'key', identity)).toBe(true);
    expect(isLinkProof(dialProof, 'accept', 'key', identity)).toBe(false);
    for (const other of [
      { generation: 4 },
      { rank: 2 },
      { purpose: 'doubling' },
      { nonce: createDialNonce() },
      { channelBinding: 'x' },
    ]) {
      expect(isLinkProof(dialProof, 'dial', 'key', { ...identity, ...other })).toBe(false);
    }
  });
});
