import { once } from 'node:events';
import { chmod, lstat, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { peerEndpointSchema, type SocketEndpoint } from '@coord/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { dialSegments } from '../src/dial-segments.js';
import { createPeerListener, type PeerListener } from '../src/peer-listener.js';
import type { SegmentLinkOptions, SegmentReceiver } from '../src/segment-link.js';
import { createWsNetwork } from '../src/ws-network.js';
import type { WsSegmentReceiver } from '../src/ws-segment-receiver.js';
import { testSegmentLink } from './segment-compliance.js';

const HOST = '127.0.0.1';
const link: SegmentLinkOptions = { generation: 3, rank: 1, key: 'the key of this view', timeoutMs: 5000 };

const directoryOf = ({ endpoint }: { readonly endpoint: SocketEndpoint }): string =>
  join(tmpdir(), endpoint.localSocket?.directory ?? 'there is none');

const listeners: { close(): Promise<void> }[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const listener of listeners.splice(0)) await listener.close();
});

async function startListener(): Promise<PeerListener> {
  const listener = await createPeerListener({ host: HOST, localSocket: true });
  listeners.push(listener);
  return listener;
}

/** @returns what the sender says where its peer is. */
async function connect(listener: PeerListener, endpoint: SocketEndpoint = listener.endpoint): Promise<string> {
  const accepted = listener.acceptSegments(link);
  const receiver = await dialSegments(endpoint, link);
  const sender = await accepted;
  receiver.close();
  await sender.closed;
  return sender.send(new Uint8Array(1)).then(
    () => '',
    (error: Error) => error.message,
  );
}

describe.skipIf(process.platform === 'win32')('the local socket of a host (skipped on Windows: it has none)', () => {
  const cutReceiver = (receiver: SegmentReceiver) => (receiver as WsSegmentReceiver).socket.destroy();

  testSegmentLink('Unix-domain', async () => {
    const listener = await createPeerListener({ host: HOST, localSocket: true });
    const [sender, receiver] = await Promise.all([
      listener.acceptSegments(link),
      // Nobody listens at this port.
      dialSegments({ ...listener.endpoint, port: 1 }, link),
    ]);
    return {
      sender,
      receiver,
      cut: () => cutReceiver(receiver),
      async dispose() {
        receiver.close();
        cutReceiver(receiver);
        await listener.close();
        await receiver.closed;
      },
    };
  });

  it('lies in a directory of this user alone, is announced in a form that others accept, and goes when the host does', async () => {
    const listener = await startListener();
    const { mode, uid } = await lstat(directoryOf(listener));
    expect(mode & 0o777).toBe(0o700);
    expect(uid).toBe(process.getuid?.());
    const received = peerEndpointSchema.parse(JSON.parse(JSON.stringify(listener.endpoint)));
    expect(received).toMatchObject({ localSocket: listener.endpoint.localSocket });
    await listener.close();
    await expect(lstat(directoryOf(listener))).rejects.toThrow('ENOENT');
  });

  it('is what a dialer on the same machine uses, and the port is used from another one', async () => {
    const listener = await startListener();
    expect(await connect(listener)).toContain('a local socket');
    const { localSocket, ...port } = listener.endpoint;
    const elsewhere = { ...port, localSocket: { directory: localSocket?.directory ?? '', machine: 'x'.repeat(43) } };
    expect(await connect(listener, elsewhere)).toContain(HOST);
    expect(await connect(listener, port)).toContain(HOST);
  });

  it('is passed over when it is gone, when others could have made it, and when it is no socket', async () => {
    const gone = await startListener();
    await rm(join(directoryOf(gone), 'ring.sock'));
    expect(await connect(gone)).toContain(HOST);

    const shared = await startListener();
    await chmod(directoryOf(shared), 0o755);
    expect(await connect(shared)).toContain(HOST);

    const file = await startListener();
    await rm(join(directoryOf(file), 'ring.sock'));
    await writeFile(join(directoryOf(file), 'ring.sock'), '');
    expect(await connect(file)).toContain(HOST);
  });

  it('does no harm when somebody else is behind it: without the proof the port is used', async () => {
    const listener = await startListener();
    const directory = await mkdtemp(join(tmpdir(), 'coord-peer-'));
    const heard: string[] = [];
    const impostor = createServer((socket: Socket) => {
      socket.on('error', () => {});
      socket.once('data', (bytes) => {
        heard.push(bytes.toString());
        socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      });
    });
    impostor.listen(join(directory, 'ring.sock'));
    await once(impostor, 'listening');
    const { localSocket, ...port } = listener.endpoint;
    const misled = { ...port, localSocket: { machine: localSocket?.machine ?? '', directory: directory.slice(-17) } };
    expect(await connect(listener, misled)).toContain(HOST);
    expect(heard).toHaveLength(1);
    expect(heard[0]).not.toContain(link.key);
    await new Promise((resolve) => impostor.close(resolve));
    await rm(directory, { recursive: true });
  });

  it('is given up with its dial', async () => {
    const listener = await startListener();
    const dial = dialSegments(listener.endpoint, { ...link, timeoutMs: 30 });
    await expect(dial).rejects.toMatchObject({ code: 'LINK_TIMEOUT' });
  });

  it('is left out where its path would be too long or cannot be made, and where a host says where to find it', async () => {
    vi.stubEnv('TMPDIR', `/tmp/${'x'.repeat(80)}`);
    expect((await startListener()).endpoint.localSocket).toBeUndefined();
    vi.stubEnv('TMPDIR', '/proc/nowhere');
    expect((await startListener()).endpoint.localSocket).toBeUndefined();
    vi.unstubAllEnvs();
    const network = await createWsNetwork({ host: HOST, localSocket: true }, { host: 'worker.example' });
    listeners.push(network);
    expect(network.endpoint).toMatchObject({ host: 'worker.example', localSocket: undefined });
  });

  it('cannot be announced as any other path of the machine', () => {
    const machine = 'x'.repeat(43);
    for (const directory of [
      '../../run/user/1',
      'coord-peer-../..x',
      'coord-peer-abcdef/..',
      '/tmp/coord-peer-abcdef',
    ]) {
      const parsed = peerEndpointSchema.safeParse({ host: HOST, port: 1, localSocket: { machine, directory } });
      expect(parsed.success).toBe(false);
    }
  });
});
