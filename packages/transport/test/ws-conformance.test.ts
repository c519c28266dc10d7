import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { dialSegments } from '../src/dial-segments.js';
import { writeAcceptResponse, writeDialRequest } from '../src/ws-handshake.js';
import { HOST, link, startListener } from './listening.js';

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
      await receiver.receive([target]);
      expect(target.every((byte) => byte === (size & 0xff))).toBe(true);
    }
    peer.send(new Uint8Array(1000).fill(1), { fin: false });
    peer.ping('between the fragments');
    peer.send(new Uint8Array(0), { fin: false });
    peer.send(new Uint8Array(90_000).fill(2), { fin: true });
    const target = new Uint8Array(91_000);
    await receiver.receive([target]);
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
      const received = expect(receiver.receive([new Uint8Array(5)])).rejects.toMatchObject({ code: error });
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
      await expect(receiver.receive([new Uint8Array(5)])).rejects.toMatchObject({ code: 'FRAME_INVALID' });
      expect((await receiver.closed).clean).toBe(false);
      server.close();
    }
  });
});
