import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { connect as connectTlsSocket, createServer as createTlsServer } from 'node:tls';
import type { SocketEndpoint } from '@coord/protocol';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createCertificate } from '../src/certificate.js';
import { dialSegments } from '../src/dial-segments.js';
import { createGuardedServer } from '../src/guarded-server.js';
import type { Link } from '../src/link.js';
import { createPeerListener, type PeerListener } from '../src/peer-listener.js';
import { type Certificate, fingerprintOf } from '../src/tls.js';
import { connectLink } from '../src/ws-connect.js';
import { listenLinks } from '../src/ws-listen.js';
import { createWsNetwork } from '../src/ws-network.js';
import { MAX_MESSAGE_BYTES, testLink } from './link-compliance.js';
import { testSegmentLink } from './segment-compliance.js';

const HOST = '127.0.0.1';
const options = { generation: 3, rank: 1, key: 'the key of this link', timeoutMs: 5000 };
const disposals: (() => unknown)[] = [];
let certificate: Certificate;
let other: Certificate;

beforeAll(async () => {
  [certificate, other] = await Promise.all([createCertificate([HOST]), createCertificate([HOST])]);
});
afterEach(async () => {
  for (const dispose of disposals.splice(0).reverse()) await dispose();
});

/** A TCP relay in front of a listener, so that a test can cut the wire. */
async function startRelay(target: { host: string; port: number }) {
  const sockets: Socket[] = [];
  const relay = createTcpServer((near) => {
    const far = connect(target.port, target.host);
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on('error', () => {});
    near.pipe(far).pipe(near);
  });
  const port = await listenOn(relay);
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const close = () => {
    cut();
    relay.close();
  };
  return { port, cut, close };
}

/** Somebody in between: ends the victim's TLS with a certificate of its own, and speaks TLS to the real listener. */
async function startImpostor(port: number, own: Certificate): Promise<number> {
  const server = createTlsServer({ key: own.keyPem, cert: own.certPem }, (near) => {
    const far = connectTlsSocket({ host: HOST, port, rejectUnauthorized: false });
    for (const socket of [near, far]) socket.on('error', () => {});
    near.pipe(far).pipe(near);
    disposals.push(
      () => near.destroy(),
      () => far.destroy(),
    );
  });
  disposals.push(() => server.close());
  return listenOn(server);
}

async function listenOn(server: { listen(port: number, host: string): unknown; address(): unknown }): Promise<number> {
  server.listen(0, HOST);
  await once(server as Server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function startPeer(): Promise<PeerListener> {
  const listener = await createPeerListener({ host: HOST, certificate });
  disposals.push(() => listener.close());
  return listener;
}

async function startLinks(cert: Certificate | undefined = certificate) {
  const server = createGuardedServer((_request, response) => response.end(), cert);
  const links: Link[] = [];
  const arrived: ((link: Link) => void)[] = [];
  const listener = listenLinks(server, { path: '/link', maxMessageBytes: MAX_MESSAGE_BYTES }, (link) => {
    links.push(link);
    arrived.shift()?.(link);
  });
  const port = await listenOn(server);
  const close = async () => {
    await listener.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const next = async () => links.shift() ?? new Promise<Link>((resolve) => arrived.push(resolve));
  return { port, close, next };
}

testSegmentLink('WebSocket over TLS', async () => {
  const listener = await createPeerListener({ host: HOST, certificate });
  const relay = await startRelay(listener.endpoint);
  const endpoint: SocketEndpoint = { ...listener.endpoint, port: relay.port };
  const [sender, receiver] = await Promise.all([listener.acceptSegments(options), dialSegments(endpoint, options)]);
  return {
    sender,
    receiver,
    cut: relay.cut,
    async dispose() {
      receiver.close();
      relay.close();
      await listener.close();
      await receiver.closed;
    },
  };
});

testLink('WebSocket over TLS', async () => {
  const { port, close, next } = await startLinks();
  const relay = await startRelay({ host: HOST, port });
  const a = await connectLink(`wss://${HOST}:${relay.port}/link`, {
    timeoutMs: 5000,
    maxMessageBytes: MAX_MESSAGE_BYTES,
    certificateSha256: certificate.sha256,
  });
  const b = await next();
  return {
    a,
    b,
    cut: relay.cut,
    async dispose() {
      await close();
      relay.close();
    },
  };
});

describe('a certificate of our own', () => {
  it('is known by its fingerprint, and no two are alike', () => {
    expect(fingerprintOf(new X509Certificate(certificate.certPem))).toBe(certificate.sha256);
    expect(certificate.sha256).not.toBe(other.sha256);
    const { subjectAltName, validTo, publicKey } = new X509Certificate(certificate.certPem);
    expect(subjectAltName).toContain(HOST);
    expect(publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' });
    expect(new Date(validTo).getTime()).toBeGreaterThan(Date.now() + 365 * 86_400_000);
  });
});

describe('who dials through TLS', () => {
  it('takes the certificate that it expects, and names both when another comes', async () => {
    const { port, close } = await startLinks();
    disposals.push(close);
    const dial = (certificateSha256?: string) =>
      connectLink(`wss://${HOST}:${port}/link`, { timeoutMs: 5000, certificateSha256 });
    await (await dial(certificate.sha256)).close();
    const failure = { code: 'CERTIFICATE_WRONG', facts: { found: certificate.sha256, expected: other.sha256 } };
    await expect(dial(other.sha256)).rejects.toMatchObject(failure);
    await expect(dial()).rejects.toMatchObject({
      code: 'CERTIFICATE_WRONG',
      hint: expect.stringContaining('whole token'),
    });
  });

  it('does not fall back: a listener without TLS is no listener', async () => {
    const { port, close } = await startLinks(undefined);
    disposals.push(close);
    const plain = createGuardedServer((_request, response) => response.end());
    const plainPort = await listenOn(plain);
    disposals.push(() => plain.close());
    const dial = connectLink(`wss://${HOST}:${plainPort}/link`, {
      timeoutMs: 5000,
      certificateSha256: certificate.sha256,
    });
    await expect(dial).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringMatching(/: what answers there is not encrypted$/),
      hint: expect.stringContaining('ws:// instead of wss://'),
    });
    expect(port).not.toBe(plainPort);
  });

  it('is named by the hint, where somebody dials without it', async () => {
    const { port, close } = await startLinks();
    disposals.push(close);
    const dial = connectLink(`ws://${HOST}:${port}/link`, { timeoutMs: 5000 });
    await expect(dial).rejects.toMatchObject({ code: 'UNREACHABLE', hint: expect.stringContaining('write wss://') });
  });

  it('is told that time is up by a listener that says nothing', async () => {
    const silent = createTcpServer((socket) => disposals.push(() => socket.destroy()));
    const port = await listenOn(silent);
    disposals.push(() => silent.close());
    const dial = connectLink(`wss://${HOST}:${port}/link`, { timeoutMs: 100, certificateSha256: other.sha256 });
    await expect(dial).rejects.toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('100 ms') });
  });

  it('has the same channel binding as the listener, another on every connection', async () => {
    const { port, close, next } = await startLinks();
    disposals.push(close);
    const bindings: string[] = [];
    for (let count = 0; count < 2; count++) {
      const a = await connectLink(`wss://${HOST}:${port}/link`, {
        timeoutMs: 5000,
        certificateSha256: certificate.sha256,
      });
      expect(a.channelBinding).toBe((await next()).channelBinding);
      bindings.push(a.channelBinding);
    }
    expect(bindings[0]).toHaveLength(43);
    expect(bindings[0]).not.toBe(bindings[1]);
  });
});

describe('ring links through TLS', () => {
  it('to a peer that shows another certificate are not made', async () => {
    const { endpoint } = await startPeer();
    const dial = dialSegments({ ...endpoint, certificateSha256: other.sha256 }, options);
    await expect(dial).rejects.toMatchObject({ code: 'RING_BROKEN', cause: { code: 'CERTIFICATE_WRONG' } });
  });

  it('cannot be relayed by somebody in between, even if the dialer takes its certificate', async () => {
    const listener = await startPeer();
    const port = await startImpostor(listener.endpoint.port, other);
    const accepted = listener.acceptSegments({ ...options, timeoutMs: 1000 });
    const refusal = expect(accepted).rejects.toMatchObject({ code: 'LINK_TIMEOUT' });
    // The proof is right, but for another channel.
    await expect(dialSegments({ host: HOST, port, certificateSha256: other.sha256 }, options)).rejects.toMatchObject({
      code: 'RING_BROKEN',
      message: expect.stringContaining('403'),
    });
    await refusal;
  });

  it('are not made without it by who has a certificate', async () => {
    const encrypted = await createWsNetwork({ host: HOST, certificate });
    const plain = await createWsNetwork({ host: HOST });
    disposals.push(
      () => encrypted.close(),
      () => plain.close(),
    );
    const dial = encrypted.dialSegments(plain.endpoint, { ...options, senderRank: 0 });
    await expect(dial).rejects.toMatchObject({ code: 'RING_BROKEN' });
    await expect(encrypted.dialLink(plain.endpoint, 'state', { timeoutMs: 1000 })).rejects.toMatchObject({
      code: 'RING_BROKEN',
    });
  });
});
