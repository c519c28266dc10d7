import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FaultyProxy } from '../src/chaos/proxy.js';

/** A server that sends back what it gets, behind a proxy. */
describe('a faulty proxy', () => {
  let server: Server;
  let proxy: FaultyProxy;
  const clients: Socket[] = [];

  beforeEach(async () => {
    server = createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    proxy = await FaultyProxy.start('127.0.0.1', () => ({
      host: '127.0.0.1',
      port: portOf(server),
    }));
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await proxy.close();
    server.close();
  });

  const portOf = (listening: Server): number => (listening.address() as AddressInfo).port;

  const dial = (port = proxy.port): Socket => {
    const client = connect(port, '127.0.0.1').on('error', () => {});
    clients.push(client);
    return client;
  };

  const closed = (client: Socket) => new Promise((resolve) => client.once('close', resolve));

  const echo = async (client: Socket, text: string): Promise<string> => {
    client.write(text);
    let answer = '';
    while (answer.length < text.length) answer += String((await once(client, 'data'))[0]);
    return answer;
  };

  it('passes bytes on, both ways', async () => {
    expect(await echo(dial(), 'there and back')).toBe('there and back');
  });

  it('holds everything back while it is paused, and loses nothing', async () => {
    const [client, besides] = [dial(), dial(portOf(server))];
    await echo(client, 'before');
    proxy.pause();
    let arrived = '';
    client.on('data', (bytes) => {
      arrived += bytes;
    });
    client.write('meanwhile');
    // Bytes that take the way around the proxy come back, time and again.
    for (let round = 0; round < 20; round++) await echo(besides, 'around');
    expect(arrived).toBe('');
    expect(client.destroyed).toBe(false);
    proxy.resume();
    while (arrived !== 'meanwhile') await once(client, 'data');
  });

  it('resets connections and refuses new ones while it is cut', async () => {
    const client = dial();
    await echo(client, 'before');
    proxy.cut();
    await closed(client);
    await closed(dial());
    proxy.restore();
    expect(await echo(dial(), 'after')).toBe('after');
  });

  it('flips one bit, once', async () => {
    const client = dial();
    await echo(client, 'before');
    const flipped = new Promise<void>((resolve) => proxy.damage(resolve));
    const text = 'xxxxxxxxxx';
    const answer = await echo(client, text);
    await flipped;
    expect([...answer].filter((letter, at) => letter !== text[at])).toHaveLength(1);
    expect(await echo(client, text)).toBe(text);
  });

  it('ends the other side of a connection that ends', async () => {
    const client = dial();
    await echo(client, 'before');
    const ended = once(client, 'end');
    client.end('bye');
    client.resume();
    await ended;
  });
});
