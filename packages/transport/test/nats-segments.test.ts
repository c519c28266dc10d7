import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openNats } from '../src/nats-connection.js';
import { acceptNatsSegments, dialNatsSegments, type NatsSegmentOptions } from '../src/nats-segments.js';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '../src/test-nats-server.js';
import { testSegmentLink } from './segment-compliance.js';

/** Listens from the start: links that fail while the test still waits for something else are heard, too. */
const failuresOf = (...links: readonly Promise<unknown>[]): Promise<unknown[]> =>
  Promise.all(
    links.map((link) =>
      link.then(
        () => 'no failure',
        (error: unknown) => error,
      ),
    ),
  );

describe.skipIf(natsServerProgram === undefined)('over NATS (skipped where there is no nats-server)', () => {
  let server: TestNatsServer;
  const connections: NatsConnection[] = [];
  let runs = 0;

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

  const ends = async (): Promise<[NatsSegmentOptions, NatsSegmentOptions]> => {
    const options = {
      prefix: `test.run${++runs}`,
      generation: 3,
      senderRank: 0,
      rank: 1,
      key: 'key of the view',
      timeoutMs: 5000,
    };
    return [
      { ...options, connection: await open() },
      { ...options, connection: await open() },
    ];
  };

  testSegmentLink('NATS', async () => {
    const [sending, receiving] = await ends();
    const keepAliveMs = 40;
    const [sender, receiver] = await Promise.all([
      acceptNatsSegments({ ...sending, keepAliveMs }),
      dialNatsSegments({ ...receiving, keepAliveMs }),
    ]);
    return {
      sender,
      receiver,
      cut: () => void sending.connection.close(),
      async dispose() {
        sender.close();
        receiver.close();
        await Promise.all([sender.closed, receiver.closed]);
      },
    };
  });

  it('meets whichever end comes first', async () => {
    for (const dialsFirst of [true, false]) {
      const [sending, receiving] = await ends();
      const early = dialsFirst ? dialNatsSegments(receiving) : undefined;
      if (early) await receiving.connection.flush();
      const accepted = acceptNatsSegments(sending);
      if (!early) await sending.connection.flush();
      const receiver = await (early ?? dialNatsSegments(receiving));
      const target = new Uint8Array(3);
      const received = receiver.receive([target]);
      await (await accepted).send(new Uint8Array([1, 2, 3]));
      await received;
      expect([...target]).toEqual([1, 2, 3]);
      receiver.close();
      await receiver.closed;
    }
  });

  it('hears nobody with a wrong key, and goes on waiting for the right one', async () => {
    const [sending, receiving] = await ends();
    const accepted = acceptNatsSegments(sending);
    await sending.connection.flush();
    await expect(dialNatsSegments({ ...receiving, key: 'another', timeoutMs: 100 })).rejects.toMatchObject({
      code: 'LINK_TIMEOUT',
      facts: { generation: 3, rank: 1 },
    });
    const receiver = await dialNatsSegments(receiving);
    await accepted;
    receiver.close();
  });

  it('keeps generations apart, times out, and can be given up', async () => {
    const [sending, receiving] = await ends();
    const controller = new AbortController();
    const accepted = acceptNatsSegments({ ...sending, generation: 4, signal: controller.signal });
    await expect(dialNatsSegments({ ...receiving, timeoutMs: 50 })).rejects.toMatchObject({
      code: 'LINK_TIMEOUT',
      facts: { generation: 3, rank: 1, timeoutMs: 50 },
    });
    await expect(acceptNatsSegments({ ...sending, timeoutMs: 50 })).rejects.toMatchObject({ code: 'LINK_TIMEOUT' });
    controller.abort();
    await expect(accepted).rejects.toMatchObject({ code: 'LINK_CLOSED' });
  });

  it('are closed links, no errors of the client, when the server is lost while they are made, and after it', async () => {
    const own = await startNatsServer();
    const connection = await openNats({ servers: own.url, timeoutMs: 5000 });
    const [{ connection: _, ...options }] = await ends();
    // Whoever is asked does not answer.
    let isAsked = () => {};
    const asked = new Promise<void>((resolve) => {
      isAsked = resolve;
    });
    connection.subscribe(`${options.prefix}.ring.${options.generation}.0-1`, { callback: () => isAsked() });
    await connection.flush();
    const dialed = dialNatsSegments({ ...options, connection }).catch((error: unknown) => error);
    await asked;
    await own.stop('SIGKILL');
    expect(await dialed).toMatchObject({ code: 'LINK_CLOSED' });
    await connection.closed();
    const late = failuresOf(
      acceptNatsSegments({ ...options, connection }),
      dialNatsSegments({ ...options, connection }),
    );
    expect(await late).toMatchObject([{ code: 'LINK_CLOSED' }, { code: 'LINK_CLOSED' }]);
  });

  it('are lost at once with the server, also while nobody has asked or answered, and leave no timer', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const own = await startNatsServer();
    const before = timers();
    const connection = await openNats({ servers: own.url, timeoutMs: 5000 });
    const [{ connection: _, ...options }] = await ends();
    const patient = { ...options, connection, timeoutMs: 600_000 };
    const opening = failuresOf(acceptNatsSegments(patient), dialNatsSegments({ ...patient, senderRank: 4 }));
    await connection.flush();
    await own.stop('SIGKILL');
    expect(await opening).toMatchObject([{ code: 'LINK_CLOSED' }, { code: 'LINK_CLOSED' }]);
    const late = failuresOf(acceptNatsSegments(patient), dialNatsSegments(patient));
    expect(await late).toMatchObject([{ code: 'LINK_CLOSED' }, { code: 'LINK_CLOSED' }]);
    // Two connections of `ends` live, and send pings.
    expect(timers()).toBeLessThanOrEqual(before + 2);
  }, 20_000);
});
