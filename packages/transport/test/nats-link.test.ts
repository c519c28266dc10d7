import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { addCheck } from '../src/checked-message.js';
import type { Link } from '../src/link.js';
import { openNats } from '../src/nats-connection.js';
import { connectNatsLink, listenNatsLinks } from '../src/nats-rendezvous.js';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '../src/test-nats-server.js';
import { MAX_MESSAGE_BYTES, testLink } from './link-compliance.js';

/** As a peer would send it that keeps to no rule. */
function channelMessage(kind: number, number: number, content: Uint8Array = new Uint8Array()): Uint8Array {
  const head = Buffer.alloc(5);
  head[0] = kind;
  head.writeUInt32LE(number, 1);
  return addCheck(Buffer.concat([head, content]));
}

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

  it('takes nobody while its owner is busy, and says so', async () => {
    const [listening, dialing] = [await open(), await open()];
    const options = { subject: 'test.busy', timeoutMs: 2000 };
    let isBusy = true;
    listenNatsLinks(listening, { subject: options.subject, isBusy: () => isBusy }, () => {});
    await listening.flush();
    await expect(connectNatsLink(dialing, options)).rejects.toMatchObject({ code: 'COORDINATOR_BUSY' });
    isBusy = false;
    await (await connectNatsLink(dialing, options)).close();
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
    const { dialing, accepted } = await pair();
    const chunk = Buffer.alloc(256 * 1024);
    for (let sequence = 0; sequence < 40; sequence++) {
      dialing.publish(accepted.localAddress, channelMessage(1, sequence, chunk));
    }
    expect((await accepted.closed).reason).toContain('more than the window');
  });

  it('cuts off who returns credit for what was never sent', async () => {
    const { dialing, accepted } = await pair();
    dialing.publish(accepted.localAddress, channelMessage(2, 1000));
    expect((await accepted.closed).reason).toContain('more than it was sent');
  });

  it('notices a byte that changed on its way, whichever', async () => {
    const message = Buffer.from(channelMessage(1, 0, Buffer.from('payload')));
    for (const at of [0, 1, 6, message.byteLength - 1]) {
      const { dialing, accepted } = await pair();
      const damaged = Buffer.from(message);
      damaged[at] ^= 4;
      const nothing = expect(accepted.receive()).rejects.toMatchObject({ code: 'LINK_CLOSED' });
      dialing.publish(accepted.localAddress, damaged);
      expect((await accepted.closed).reason).toContain('was damaged on its way');
      await nothing;
    }
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
      expect(answer.string()).toBe('refused');
    }
    await (await connectNatsLink(dialing, { subject: 'test.garbage', timeoutMs: 2000 })).close();
  });

  it('notices a gap: a foreign message in the stream ends the link and delivers nothing wrong', async () => {
    const { dialing, options, dialed, accepted } = await pair();
    await dialed.send(new Uint8Array([1]));
    await accepted.receive();
    const outcome = expect(accepted.receive()).rejects.toMatchObject({ message: expect.stringContaining('were lost') });
    // A chunk with a sequence number from the future, as if those before it had been dropped.
    const foreign = channelMessage(1, 99, Buffer.from([42]));
    const subject = accepted.localAddress;
    expect(subject.startsWith(options.subject)).toBe(true);
    dialing.publish(subject, foreign);
    await outcome;
    expect((await dialed.closed).clean).toBe(false);
  });
});
