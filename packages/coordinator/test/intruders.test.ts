/** Scripted intruders over real sockets: what somebody can do who knows no token, and somebody who knows one. */

import { once } from 'node:events';
import { connect } from 'node:net';
import { createNonce, encodeMessage, type Hello, joinProof, PROTOCOL_VERSION, parseToken } from '@coord/protocol';
import { connectLink, type Link } from '@coord/transport';
import { createCertificate } from '@coord/transport/certificate';
import { connectNatsLink, openNats } from '@coord/transport/nats';
import { natsServerProgram, startNatsServer } from '@coord/transport/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FailedAttempts, networkOf } from '../src/access/failed-attempts.js';
import { TokenBook } from '../src/access/token-book.js';
import { RunStage } from '../src/run-stage.js';
import { Strangers } from '../src/strangers.js';
import { type MessageParts, WorkerMessages } from '../src/worker-messages.js';
import { WorkerSession } from '../src/worker-session.js';
import { startTestCluster } from './cluster.js';
import { FakeClock } from './fake-clock.js';
import { testRun } from './fixtures.js';
import { ScriptedWorker } from './scripted-worker.js';

const TOKEN = 'the token of this test';

const helloFrom = (name: string, clientNonce: string, proof: string, more: object = {}) => ({
  type: 'hello',
  protocolVersion: PROTOCOL_VERSION,
  proof,
  clientNonce,
  name,
  hostName: 'test',
  pid: 1,
  ...more,
});

const start = () => startTestCluster({ tokens: TokenBook.of(TOKEN) });

async function refusalOf(worker: ScriptedWorker, hello: object) {
  await worker.link.send(encodeMessage(hello));
  return worker.next('refused');
}

describe('who knows no token', () => {
  it('cannot use a hello again that it has recorded', async () => {
    const { url } = await start();
    const honest = await ScriptedWorker.connect(url);
    const { serverNonce } = await honest.next('challenge');
    const clientNonce = createNonce();
    const proof = joinProof(TOKEN, 'worker', { serverNonce, clientNonce });
    const hello = helloFrom('honest', clientNonce, proof);
    await honest.link.send(encodeMessage(hello));
    await honest.next('welcome');
    const replay = await ScriptedWorker.connect(url);
    await replay.next('challenge');
    expect(await refusalOf(replay, hello)).toMatchObject({ code: 'TOKEN_WRONG' });
  });

  it("cannot give the coordinator's proof back as its own", async () => {
    const { url } = await start();
    const worker = await ScriptedWorker.connect(url);
    const { serverNonce } = await worker.next('challenge');
    const clientNonce = createNonce();
    const proof = joinProof(TOKEN, 'coordinator', { serverNonce, clientNonce });
    expect(await refusalOf(worker, helloFrom('mirror', clientNonce, proof))).toMatchObject({
      code: 'TOKEN_WRONG',
    });
  });

  it('cannot pass a proof on that was made for another channel', async () => {
    const certificate = await createCertificate(['127.0.0.1']);
    const cluster = await startTestCluster({ tokens: TokenBook.of(TOKEN), certificate });
    const options = { timeoutMs: 5000, certificateSha256: certificate.sha256 };
    const dial = async () => new ScriptedWorker(await connectLink(`${cluster.url}/join`, options), 'test');
    expect(cluster.url).toMatch(/^wss:/);
    const [victim, attacker] = [await dial(), await dial()];
    const { serverNonce } = await attacker.next('challenge');
    // The victim is made to answer the attacker's challenge; its proof names its own channel.
    const clientNonce = createNonce();
    const proofOn = (link: Link) =>
      joinProof(TOKEN, 'worker', { serverNonce, clientNonce, channelBinding: link.channelBinding });
    const relayed = helloFrom('victim', clientNonce, proofOn(victim.link));
    expect(await refusalOf(attacker, relayed)).toMatchObject({ code: 'TOKEN_WRONG' });
    const own = await dial();
    const { serverNonce: fresh } = await own.next('challenge');
    const channelBinding = own.link.channelBinding;
    const proof = joinProof(TOKEN, 'worker', { serverNonce: fresh, clientNonce, channelBinding });
    await own.link.send(encodeMessage(helloFrom('own', clientNonce, proof)));
    expect((await own.next('welcome')).workerId).toBe('w1');
  });

  it('cannot make the coordinator hold more than a handshake, whatever its frame announces', async () => {
    const { url, coordinator } = await start();
    const links = await Promise.all(Array.from({ length: 8 }, () => connectLink(`${url}/join`, { timeoutMs: 5000 })));
    for (const link of links) {
      link.send(new Uint8Array(7 * 1024 * 1024)).catch(() => {});
      expect(await link.closed).toMatchObject({ clean: false });
    }
    expect(coordinator.endpoint.port).toBeGreaterThan(0);
    await ScriptedWorker.join(url, TOKEN);
  });

  it('is not listened to after twenty wrong proofs, by link or by HTTP, and is after a minute', async () => {
    const clock = new FakeClock();
    const failures = new FailedAttempts(clock);
    for (let count = 0; count < 20; count++) {
      expect(failures.blockedMs('192.0.2.1')).toBe(0);
      failures.note('::ffff:192.0.2.1');
    }
    expect(failures.blockedMs('192.0.2.1')).toBe(60_000);
    expect(failures.blockedMs('192.0.2.2')).toBe(0);
    clock.advance(60_000);
    expect(failures.blockedMs('192.0.2.1')).toBe(0);
  });

  it('is answered before a link is opened once it is blocked', async () => {
    const { url } = await start();
    for (let count = 0; count < 20; count++) {
      const worker = await ScriptedWorker.connect(url);
      await worker.sayHello('a wrong token');
      expect((await worker.next('refused')).code).toBe('TOKEN_WRONG');
    }
    await expect(connectLink(`${url}/join`, { timeoutMs: 5000 })).rejects.toMatchObject({ code: 'COORDINATOR_BUSY' });
    const status = await fetch(`${url.replace('ws', 'http')}/status`, { headers: { authorization: 'Bearer guess' } });
    expect(status.status).toBe(429);
    expect(Number(status.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it.skipIf(natsServerProgram === undefined)(
    'keeps nobody out of a run over NATS with wrong proofs, which fill no log (skipped without nats-server)',
    async () => {
      const server = await startNatsServer();
      onTestFinished(() => server.stop('SIGKILL'));
      const options = { tokens: TokenBook.of(TOKEN), nats: { url: server.url } };
      const { url, coordinator, events } = await startTestCluster(options);
      const connection = await openNats({ servers: server.url, timeoutMs: 5000 });
      onTestFinished(() => connection.close());
      const subject = `coord.${new URL(url).pathname.slice(1)}.join`;
      const dial = (secret: string) =>
        connectNatsLink(connection, {
          subject,
          secret,
          standingKey: parseToken(coordinator.token).standingKey,
          timeoutMs: 2000,
        });
      const refusals = await Promise.allSettled(Array.from({ length: 30 }, (_, count) => dial(`guess ${count}`)));
      for (const refusal of refusals) expect(refusal).toMatchObject({ reason: { code: 'TOKEN_WRONG' } });
      const worker = new ScriptedWorker(await dial(TOKEN), 'worker');
      await worker.sayHello(TOKEN);
      expect((await worker.next('welcome')).workerId).toBe('w1');
      expect(events.of('warning')).toHaveLength(20);
    },
  );

  it.skipIf(natsServerProgram === undefined)(
    'cannot pass a hello over NATS on, nor be taken for the coordinator (skipped without nats-server)',
    async () => {
      const server = await startNatsServer();
      onTestFinished(() => server.stop('SIGKILL'));
      const { url } = await startTestCluster({ tokens: TokenBook.of(TOKEN), nats: { url: server.url } });
      const connection = await openNats({ servers: server.url, timeoutMs: 5000 });
      onTestFinished(() => connection.close());
      const subject = `coord.${new URL(url).pathname.slice(1)}.join`;
      const dial = () => connectNatsLink(connection, { subject, secret: TOKEN, timeoutMs: 5000 });
      const [victim, attacker] = [
        new ScriptedWorker(await dial(), 'victim'),
        new ScriptedWorker(await dial(), 'other'),
      ];
      expect(victim.link.channelBinding).not.toBe('');
      expect(victim.link.channelBinding).not.toBe(attacker.link.channelBinding);
      const { serverNonce } = await attacker.next('challenge');
      const clientNonce = createNonce();
      const { channelBinding } = victim.link;
      const proof = joinProof(TOKEN, 'worker', { serverNonce, clientNonce, channelBinding });
      const relayed = await refusalOf(attacker, helloFrom('victim', clientNonce, proof));
      expect(relayed).toMatchObject({ code: 'TOKEN_WRONG' });
    },
  );

  it('cannot keep more than 128 connections open; who has joined does not count', async () => {
    const { coordinator, url } = await start();
    await ScriptedWorker.join(url, TOKEN);
    const sockets = Array.from({ length: 140 }, () => {
      const socket = connect(coordinator.endpoint.port, '127.0.0.1');
      socket.on('error', () => {});
      return socket;
    });
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
    });
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const dropped = () => sockets.filter((socket) => socket.closed || socket.readableEnded).length;
    for (const socket of sockets) socket.resume();
    await expect.poll(dropped, { timeout: 5000 }).toBe(12);
    for (const socket of sockets) socket.destroy();
    await expect
      .poll(async () => (await ScriptedWorker.join(url, TOKEN).catch(() => undefined))?.workerId)
      .toBeDefined();
  });

  it('cannot keep others out by saying nothing: of 64 that are joining one gives way, of its own address', async () => {
    const { url } = await start();
    const others: ScriptedWorker[] = [];
    for (let count = 0; count < 64; count++) others.push(await ScriptedWorker.connect(url));
    for (const other of others) await other.next('challenge');
    await ScriptedWorker.join(url, TOKEN);
    const [longest, ...rest] = others;
    expect((await longest.next('refused')).code).toBe('COORDINATOR_BUSY');
    for (const other of rest) await other.link.close();
  });

  it('takes no place of another address, of which fewer are joining', async () => {
    const strangers = new Strangers();
    const never = () => new Promise<never>(() => {});
    const outcomes = new Map<string, unknown>();
    const come = (address: string) =>
      strangers.wait(address, address, never).catch((error: unknown) => outcomes.set(address, error));
    for (let port = 0; port < 3; port++) void come('192.0.2.1');
    for (let count = 0; count < 200; count++) void come('192.0.2.66');
    await expect(strangers.wait('a worker', '192.0.2.1', async () => 'welcome')).resolves.toBe('welcome');
    expect([...outcomes.keys()]).toEqual(['192.0.2.66']);
  });

  it('is not listened to after twenty connections that said nothing in time', async () => {
    const { url } = await startTestCluster({ tokens: TokenBook.of(TOKEN), timings: { handshakeTimeoutMs: 10 } });
    for (let count = 0; count < 20; count++) await (await ScriptedWorker.connect(url)).next('refused');
    await expect(connectLink(`${url}/join`, { timeoutMs: 5000 })).rejects.toMatchObject({ code: 'COORDINATOR_BUSY' });
  });

  it("writes nothing to the operator's terminal but what can be printed", async () => {
    const { url, events } = await start();
    for (const name of ['\u001b[2J', 'a\nb', 'a\u202eb']) {
      const worker = await ScriptedWorker.connect(url);
      const { serverNonce } = await worker.next('challenge');
      const clientNonce = createNonce();
      const proof = joinProof('a wrong token', 'worker', { serverNonce, clientNonce });
      expect(await refusalOf(worker, helloFrom(name, clientNonce, proof))).toMatchObject({ code: 'MESSAGE_INVALID' });
    }
    const told = JSON.stringify(events.of('warning'));
    expect(told).toContain('wrong at name: it has characters that cannot be printed');
    expect(told).not.toMatch(/\\u001b|\u202e/);
  });

  it('is turned away with a head of more than 4 KiB', async () => {
    const { url } = await start();
    const long = { 'x-long': 'x'.repeat(4100) };
    expect((await fetch(`${url.replace('ws', 'http')}/healthz`, { headers: long })).status).toBe(431);
  });

  it('of one IPv6 network is one', () => {
    expect(networkOf('2001:db8:1:2::3')).toBe(networkOf('2001:db8:1:2:ffff::1'));
    expect(networkOf('2001:db8:1:2::3')).not.toBe(networkOf('2001:db8:1:3::3'));
    expect(networkOf('::1')).toBe(networkOf('0:0:0:0:1::'));
    expect(networkOf('::ffff:192.0.2.7')).toBe('192.0.2.7');
  });
});

describe('who knows a token, but is no honest worker', () => {
  const returnsAs = (workerId: string, key?: string) => ({
    returns: { runId: 'test-run', workerId, generation: 1, key },
  });

  it('cannot take the place of another worker by claiming its id', async () => {
    const { url, events } = await start();
    const honest = await ScriptedWorker.join(url, TOKEN, 'scripted');
    await honest.ready();
    await honest.nextView();
    for (const key of [undefined, createNonce(), TokenBook.of(TOKEN).returnKey('w2')]) {
      const thief = await ScriptedWorker.connect(url);
      const { serverNonce } = await thief.next('challenge');
      const clientNonce = createNonce();
      const proof = joinProof(TOKEN, 'worker', { serverNonce, clientNonce });
      const hello = helloFrom('scripted', clientNonce, proof, returnsAs(honest.workerId, key));
      expect(await refusalOf(thief, hello)).toMatchObject({ code: 'JOIN_REFUSED' });
    }
    expect(events.of('worker-lost')).toEqual([]);
  });

  it('cannot send a view, a ledger line or another role of the conversation', async () => {
    for (const forged of [
      { type: 'view', view: { runId: 'test-run', generation: 99, members: [], ringKey: 'x'.repeat(32), reason: '' } },
      { type: 'welcome', workerId: 'w9' },
      { type: 'step', step: 8, weightsSha256: 'f'.repeat(64) },
      { type: 'stop', reason: 'because' },
    ]) {
      const { url, coordinator } = await start();
      const worker = await ScriptedWorker.join(url, TOKEN);
      await worker.link.send(encodeMessage(forged));
      expect(await worker.next('expelled')).toMatchObject({ code: 'MESSAGE_INVALID' });
      await coordinator.close();
    }
  });

  /** A worker whose link takes nothing more, and what it was sent. */
  function glutton() {
    const sent: Uint8Array[] = [];
    const send = (message: Uint8Array) => {
      sent.push(message);
      return new Promise<never>(() => {});
    };
    const link = { remote: 'a glutton', send } as unknown as Link;
    const hello = { name: 'glutton', hostName: 'test', pid: 1 } as Hello;
    return { sent, session: new WorkerSession('w1', hello, link, 'test-run', 't1') };
  }

  it('cannot fill the memory with views that it asks for and does not read', async () => {
    const { sent, session } = glutton();
    const parts = {
      options: { run: testRun() },
      stage: new RunStage(),
      clock: new FakeClock(),
      roster: { apply() {} },
    };
    const messages = new WorkerMessages(parts as unknown as MessageParts);
    const ask = () => {
      for (let count = 0; count < 2000; count++) messages.handle(session, { type: 'peers-request' });
    };
    expect(ask).toThrow(/1024 of its requests are not answered yet/);
    await new Promise(setImmediate);
    expect(sent.length).toBe(1);
  });

  it('cannot fill the memory with echoes of heartbeats that it does not read', async () => {
    const { sent, session } = glutton();
    const heartbeat = { type: 'heartbeat', step: 0, generation: 0, phase: 'compiling', sentMs: 1 } as const;
    for (let count = 0; count < 1000; count++) session.hearHeartbeat(heartbeat, 0);
    expect(sent.length).toBe(1);
  });

  it('commands no terminal with the reasons that it gives', async () => {
    const { url, events } = await start();
    const worker = await ScriptedWorker.join(url, TOKEN);
    await worker.send({ type: 'leaving', reason: 'done\u001b]0;owned\u0007\n\tfor today, größer' });
    expect(await events.nth('worker-lost')).toMatchObject({ reason: 'done\ufffd]0;owned\ufffd\n\tfor today, größer' });
  });

  it('gets no block of other data', async () => {
    const { url } = await start();
    const worker = await ScriptedWorker.join(url, TOKEN);
    await worker.send({ type: 'block-request', sha256: 'a'.repeat(64) });
    expect((await worker.next('block')).data).toBeNull();
  });
});
