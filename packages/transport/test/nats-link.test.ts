import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Link } from '../src/link.js';
import { openNats } from '../src/nats-connection.js';
import { connectNatsLink, listenNatsLinks } from '../src/nats-rendezvous.js';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '../src/test-nats-server.js';
import { MAX_MESSAGE_BYTES, testLink } from './link-compliance.js';

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

  it('passes on what the dialer says of itself, and refuses whom the owner does not want', async () => {
    const [listening, dialing] = [await open(), await open()];
    const options = { subject: 'test.meta', timeoutMs: 2000 };
    const names: string[] = [];
    listenNatsLinks(
      listening,
      { subject: options.subject, authorize: ({ token }) => token === 'right' },
      (_link, meta) => names.push(meta.name),
    );
    await listening.flush();
    await expect(connectNatsLink(dialing, { ...options, meta: { token: 'wrong' } })).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('refused'),
    });
    const link = await connectNatsLink(dialing, { ...options, meta: { token: 'right', name: 'one' } });
    expect(names).toEqual(['one']);
    await link.close();
  });

  it('survives garbage at its subject', async () => {
    const [listening, dialing] = [await open(), await open()];
    listenNatsLinks(listening, { subject: 'test.garbage' }, () => {});
    await listening.flush();
    for (const garbage of ['', 'no json', '{}', '{"id":"../../x","meta":{}}', '[1]', 'null']) {
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
    const foreign = Buffer.from([1, 99, 0, 0, 0, 42]);
    const subject = accepted.localAddress;
    expect(subject.startsWith(options.subject)).toBe(true);
    dialing.publish(subject, foreign);
    await outcome;
    expect((await dialed.closed).clean).toBe(false);
  });
});
