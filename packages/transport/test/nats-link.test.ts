import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Link } from '../src/link.js';
import { openNats } from '../src/nats-connection.js';
import { type ChannelKeys, Dialer } from '../src/nats-handshake.js';
import { answerSubject } from '../src/nats-question.js';
import { connectNatsLink, listenNatsLinks } from '../src/nats-rendezvous.js';
import { Sealer } from '../src/sealed-messages.js';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '../src/test-nats-server.js';
import { MAX_MESSAGE_BYTES, testLink } from './link-compliance.js';

const KIND = { lastChunk: 1, credit: 2 };

describe.skipIf(natsServerProgram === undefined)('over NATS (skipped where there is no nats-server)', () => {
  let server: TestNatsServer;
  const connections: NatsConnection[] = [];
  let subjects = 0;

  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterEach(async () => {
    await Promise.all(connections.splice(0).map((connection) => connection.close()));
  });
  afterAll(() => server.stop());

  const open = async (): Promise<NatsConnection> => {
    const connection = await openNats({ servers: server.url, timeoutMs: 5000 });
    connections.push(connection);
    return connection;
  };

  const pair = async (keepAliveMs = 1000) => {
    const [listening, dialing] = [await open(), await open()];
    const options = { subject: `test.${++subjects}`, keepAliveMs, maxMessageBytes: MAX_MESSAGE_BYTES };
    const accepted = new Promise<Link>((resolve) => listenNatsLinks(listening, options, resolve));
    await listening.flush();
    const dialed = await connectNatsLink(dialing, { ...options, timeoutMs: 5000 });
    return { listening, dialing, options, dialed, accepted: await accepted };
  };

  /** A dialer that keeps to no rule but those of the handshake. */
  const rogue = async () => {
    const [listening, connection] = [await open(), await open()];
    const subject = `test.${++subjects}`;
    const accepted = new Promise<Link>((resolve) =>
      listenNatsLinks(listening, { subject, maxMessageBytes: MAX_MESSAGE_BYTES }, resolve),
    );
    const dialer = new Dialer({ subject, secret: '' });
    const answered = new Promise<ChannelKeys>((resolve) =>
      connection.subscribe(answerSubject(subject, dialer.id), {
        callback: (_, { data }) => resolve(dialer.readAnswer(data) as ChannelKeys),
      }),
    );
    await Promise.all([listening.flush(), connection.flush()]);
    connection.publish(subject, dialer.dial);
    const sealer = new Sealer((await answered).send);
    const link = await accepted;
    return {
      accepted: link,
      say: (kind: number, content: Uint8Array) => connection.publish(link.localAddress, sealer.seal(kind, content)),
      lose: () => void sealer.seal(KIND.lastChunk, new Uint8Array(1)),
    };
  };

  testLink('NATS', async () => {
    const { dialing, dialed, accepted } = await pair(40);
    return {
      a: dialed,
      b: accepted,
      cut: () => void dialing.close(),
      async dispose() {
        await Promise.all([dialed.close(), accepted.close()]);
      },
    };
  });

  it('is lost, and throws at nobody, where its connection takes nothing more', async () => {
    const pairs = await Promise.all(Array.from({ length: 20 }, () => pair(1)));
    await Promise.all(pairs.map(({ dialing }) => dialing.drain()));
    for (const { dialed } of pairs) expect(await dialed.closed).toMatchObject({ clean: false });
  });

  it('says TOKEN_WRONG at once where the server refuses the credentials, or wants some', async () => {
    const closed = await startNatsServer({ args: ['--user', 'trainer', '--pass', 'open sesame'] });
    onTestFinished(() => closed.stop());
    const dial = (pass?: string) =>
      openNats({ servers: closed.url, timeoutMs: 60_000, credentials: pass ? { user: 'trainer', pass } : undefined });
    await expect(dial('a guess')).rejects.toMatchObject({
      code: 'TOKEN_WRONG',
      message: expect.stringMatching(/refuses the credentials/),
    });
    await expect(dial()).rejects.toMatchObject({
      code: 'TOKEN_WRONG',
      message: expect.stringMatching(/wants credentials/),
    });
    await (await dial('open sesame')).close();
  });

  it('says UNREACHABLE with a hint where there is no server', async () => {
    const gone = await startNatsServer();
    await gone.stop();
    await expect(openNats({ servers: gone.url, timeoutMs: 2000 })).rejects.toMatchObject({
      code: 'UNREACHABLE',
      hint: expect.stringContaining('nats-server'),
    });
  });

  it('says UNREACHABLE where nobody listens', async () => {
    const dialing = connectNatsLink(await open(), { subject: 'test.nobody', timeoutMs: 2000 });
    await expect(dialing).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('nobody listens'),
      hint: expect.stringContaining('subject'),
    });
  });

  it('reads no more than a handshake of a stranger, and everything of whom it has admitted', async () => {
    const [listening, dialing] = [await open(), await open()];
    const accepted: Link[] = [];
    listenNatsLinks(listening, { subject: 'test.stranger', strangerBytes: 1000 }, (link) => accepted.push(link));
    await listening.flush();
    const dial = () => connectNatsLink(dialing, { subject: 'test.stranger', timeoutMs: 2000 });
    const stranger = await dial();
    await stranger.send(new Uint8Array(600));
    await stranger.send(new Uint8Array(600));
    expect((await stranger.closed).reason).toContain('more than a handshake');
    const friend = await dial();
    accepted[1].admit?.();
    await friend.send(new Uint8Array(5000));
    expect((await accepted[1].receive()).byteLength).toBe(5000);
    await friend.close();
  });

  it('cuts off who sends beyond the window that it was given', async () => {
    const { accepted, say } = await rogue();
    const chunk = Buffer.alloc(256 * 1024);
    for (let count = 0; count < 40; count++) say(KIND.lastChunk, chunk);
    expect((await accepted.closed).reason).toContain('more than the window');
  });

  it('cuts off who returns credit for what was never sent', async () => {
    const { accepted, say } = await rogue();
    say(KIND.credit, Buffer.from([232, 3, 0, 0]));
    expect((await accepted.closed).reason).toContain('more than it was sent');
  });

  it('cuts off who says what has no meaning', async () => {
    for (const [kind, content] of [
      [9, Buffer.from([1])],
      [KIND.credit, Buffer.from([1, 2, 3])],
    ] as const) {
      const { accepted, say } = await rogue();
      say(kind, content);
      expect((await accepted.closed).reason).toContain('message of unknown kind');
    }
  });

  it('notices a message that did not come, and delivers nothing that comes after it', async () => {
    const { accepted, say, lose } = await rogue();
    say(KIND.lastChunk, Buffer.from([1]));
    expect([...(await accepted.receive())]).toEqual([1]);
    const outcome = expect(accepted.receive()).rejects.toMatchObject({
      message: expect.stringContaining('1 messages'),
    });
    lose();
    say(KIND.lastChunk, Buffer.from([42]));
    await outcome;
    expect(await accepted.closed).toMatchObject({ clean: false, reason: expect.stringContaining('were lost') });
  });

  it('survives garbage at its subject', async () => {
    const [listening, dialing] = [await open(), await open()];
    listenNatsLinks(listening, { subject: 'test.garbage' }, () => {});
    await listening.flush();
    for (const garbage of [
      '',
      'no json',
      '{}',
      '{"id":"../../x"}',
      JSON.stringify({ id: 'x'.repeat(300) }),
      '[1]',
      'null',
    ]) {
      const answer = await dialing.request('test.garbage', garbage, { timeout: 2000 });
      expect(answer.json()).toMatchObject({ refused: 'version' });
    }
    await (await connectNatsLink(dialing, { subject: 'test.garbage', timeoutMs: 2000 })).close();
  });
});
