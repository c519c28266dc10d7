import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { addCheck } from '../src/checked-message.js';
import type { Link } from '../src/link.js';
import { type ConnectOptions, connectLink } from '../src/ws-connect.js';
import { type ListenOptions, listenLinks } from '../src/ws-listen.js';
import { MAX_MESSAGE_BYTES, testLink } from './link-compliance.js';

const servers: Server[] = [];
const sockets: Socket[] = [];

async function startServer(): Promise<{ server: Server; url: string; port: number }> {
  const server = createServer();
  server.on('connection', (socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  const { port } = server.address() as AddressInfo;
  return { server, port, url: `ws://127.0.0.1:${port}` };
}

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

interface Accepted {
  readonly link: Link;
  readonly request: IncomingMessage;
}

/** A listener whose links are handed out one by one. */
async function startListener(options: Partial<ListenOptions> = {}) {
  const started = await startServer();
  const accepted: Accepted[] = [];
  const waiting: ((item: Accepted) => void)[] = [];
  const listener = listenLinks(started.server, { path: '/link', ...options }, (link, request) => {
    const take = waiting.shift();
    if (take) take({ link, request });
    else accepted.push({ link, request });
  });
  const next = async (): Promise<Accepted> => accepted.shift() ?? new Promise((resolve) => waiting.push(resolve));
  return { ...started, url: `${started.url}/link`, listener, next };
}

const dial = (url: string, options: Partial<ConnectOptions> = {}) => connectLink(url, { timeoutMs: 5000, ...options });

async function connectedPair(dialer: 'a' | 'b') {
  const { url, next } = await startListener({ maxMessageBytes: MAX_MESSAGE_BYTES });
  const dialed = await dial(url, { maxMessageBytes: MAX_MESSAGE_BYTES });
  const { link: accepted } = await next();
  const [a, b] = dialer === 'a' ? [dialed, accepted] : [accepted, dialed];
  return {
    a,
    b,
    cut: () => sockets[sockets.length - 1].destroy(),
    dispose: async () => {
      await Promise.all([a.close(), b.close()]);
    },
  };
}

testLink('WebSocket (dialing)', () => connectedPair('a'));
testLink('WebSocket (accepting)', () => connectedPair('b'));

describe('listening for links', () => {
  it('serves several owners on one server, and answers 404 where nobody owns the path', async () => {
    const { server, url } = await startServer();
    const names: string[] = [];
    for (const path of ['/join', '/state']) listenLinks(server, { path }, () => names.push(path));
    const links = [await dial(`${url}/state?x=1`), await dial(`${url}/join`)];
    expect(names).toEqual(['/state', '/join']);
    await expect(dial(`${url}/other`)).rejects.toMatchObject({
      code: 'UNREACHABLE',
      facts: { status: 404 },
      hint: expect.stringContaining('check host and port'),
    });
    for (const link of links) await link.close();
  });

  it('leaves unknown paths to upgrade listeners of other makers', async () => {
    const { server, url } = await startServer();
    listenLinks(server, { path: '/join' }, () => {});
    server.on('upgrade', (request, socket) => {
      if (request.url === '/foreign') socket.end('HTTP/1.1 418 Teapot\r\nConnection: close\r\n\r\n');
    });
    await expect(dial(`${url}/foreign`)).rejects.toMatchObject({ facts: { status: 418 } });
  });

  it('refuses to give one path to two owners', async () => {
    const { server } = await startServer();
    listenLinks(server, { path: '/join' }, () => {});
    expect(() => listenLinks(server, { path: '/join' }, () => {})).toThrow('already taken');
  });

  it('answers 401 to a request that is not authorized', async () => {
    const { url } = await startListener({
      refuse: ({ headers }) =>
        headers.authorization === 'Bearer right' ? undefined : { status: 401, reason: 'not authorized' },
    });
    await expect(dial(url)).rejects.toMatchObject({ code: 'UNREACHABLE', facts: { status: 401 } });
    const link = await dial(url, { headers: { authorization: 'Bearer right' } });
    await link.close();
  });

  it('passes the request on, so that the owner sees its query and headers', async () => {
    const { url, next } = await startListener();
    const link = await dial(`${url}?run=7`, { headers: { 'x-name': 'one' } });
    const { request } = await next();
    expect(request.url).toBe('/link?run=7');
    expect(request.headers['x-name']).toBe('one');
    await link.close();
  });

  it('delivers a message sent in the same tick as the accept', async () => {
    const { server, url } = await startServer();
    listenLinks(server, { path: '/link' }, (link) => void link.send(Buffer.from('at once')));
    const link = await dial(`${url}/link`);
    expect(Buffer.from(await link.receive()).toString()).toBe('at once');
    await link.close();
  });

  it('closes its links with a goodbye when it closes, and frees the path', async () => {
    const { server, url, listener } = await startListener();
    const link = await dial(url);
    await listener.close();
    expect(await link.closed).toMatchObject({ clean: true, reason: 'the server is closing' });
    await expect(dial(url)).rejects.toMatchObject({ facts: { status: 404 } });
    listenLinks(server, { path: '/link' }, () => {});
  });
});

describe('a peer that breaks the rules', () => {
  it('is cut off when its message is too large, and the reason names it', async () => {
    const { url, next } = await startListener({ maxMessageBytes: 1000 });
    const raw = new WebSocket(url);
    await once(raw, 'open');
    const { link } = await next();
    raw.send(new Uint8Array(1005));
    await expect(link.receive()).rejects.toMatchObject({
      code: 'LINK_CLOSED',
      message: expect.stringMatching(/127\.0\.0\.1:\d+ sent a message larger than the limit of 1000 bytes/),
    });
    expect((await link.closed).clean).toBe(false);
  });

  it('is cut off when a message was damaged on its way, whichever byte it was', async () => {
    const { url, next } = await startListener();
    const message = Buffer.from(addCheck(Buffer.from('seventeen')));
    for (let at = 0; at < message.byteLength; at++) {
      const raw = new WebSocket(url);
      await once(raw, 'open');
      const { link } = await next();
      const damaged = Buffer.from(message);
      damaged[at] ^= 1 << (at % 8);
      raw.send(damaged);
      await expect(link.receive()).rejects.toMatchObject({ message: expect.stringContaining('damaged on its way') });
      expect((await link.closed).clean).toBe(false);
    }
  });

  it('is cut off when it sends text', async () => {
    const { url, next } = await startListener();
    const raw = new WebSocket(url);
    await once(raw, 'open');
    const { link } = await next();
    raw.send('hello');
    await expect(link.receive()).rejects.toMatchObject({ message: expect.stringContaining('sent text') });
    expect((await link.closed).clean).toBe(false);
  });

  it('is cut off when it sends bytes that are no frame', async () => {
    const { url, port, next } = await startListener();
    const raw = connect(port, '127.0.0.1');
    const key = Buffer.alloc(16).toString('base64');
    raw.write(
      `GET ${new URL(url).pathname} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
    const { link } = await next();
    raw.write(Buffer.alloc(64, 0xff));
    await expect(link.receive()).rejects.toMatchObject({ message: expect.stringContaining('WebSocket protocol') });
    raw.destroy();
  });
});

describe('dialing a link', () => {
  it('says UNREACHABLE with a hint where nobody listens', async () => {
    const { server, url } = await startServer();
    await new Promise((resolve) => server.close(resolve));
    await expect(dial(url)).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining(url),
      hint: expect.stringContaining('runs'),
    });
  });

  it('says UNREACHABLE when the other end accepts and stays silent', async () => {
    const { server, url } = await startServer();
    server.on('upgrade', () => {});
    await expect(dial(url, { timeoutMs: 50 })).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  it('says UNREACHABLE for text that is no WebSocket address', async () => {
    await expect(dial('nonsense')).rejects.toMatchObject({
      code: 'UNREACHABLE',
      hint: expect.stringContaining('ws://'),
    });
  });

  it('can be given up', async () => {
    const { server, url } = await startServer();
    const controller = new AbortController();
    server.on('upgrade', () => controller.abort(new Error('changed my mind')));
    await expect(dial(url, { signal: controller.signal })).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    await expect(dial(url, { signal: controller.signal })).rejects.toMatchObject({ code: 'LINK_CLOSED' });
  });
});
