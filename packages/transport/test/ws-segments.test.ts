import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { dialSegments } from '../src/dial-segments.js';
import { createPeerListener } from '../src/peer-listener.js';
import { connectLink } from '../src/ws-connect.js';
import { createDialNonce, isLinkProof, writeAcceptResponse, writeDialRequest } from '../src/ws-handshake.js';
import { HOST, link, startListener } from './listening.js';
import { testSegmentLink } from './segment-compliance.js';

const openSockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;

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
      const received = receiver.receive([target]);
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
      const received = receivers[rank].receive([target]);
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
      const received = receivers[index].receive([target]);
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

  it.each([
    ['of one link', 4, () => link()],
    ['of any links', 64, (index: number) => link({ generation: 100 + index, rank: index })],
  ])('takes a peer that dials early, however many dials %s a stranger keeps open', async (_name, count, identity) => {
    const listener = await startListener();
    const turnedAway: unknown[] = [];
    for (let index = 0; index < count + 2; index++) {
      const controller = new AbortController();
      onTestFinished(() => controller.abort());
      const options = { ...identity(index), key: 'a guess', signal: controller.signal };
      dialSegments(listener.endpoint, options).catch((error: unknown) => turnedAway.push(error));
    }
    await expect.poll(() => turnedAway.length).toBe(2);
    const early = dialSegments(listener.endpoint, link());
    await expect.poll(() => turnedAway.length).toBe(3);
    const sender = await listener.acceptSegments(link());
    (await early).close();
    await sender.closed;
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

describe('a handshake', () => {
  it('has two proofs that differ, so neither can be echoed as the other', () => {
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
