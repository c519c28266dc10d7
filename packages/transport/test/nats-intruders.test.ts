/** Who may use the NATS server, and has no key: hears every message, and publishes whatever it likes wherever it likes. */
import { KeyPair, PROTOCOL_VERSION } from '@coord/protocol';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Link } from '../src/link.js';
import { openNats } from '../src/nats-connection.js';
import { countForgeries } from '../src/nats-forgeries.js';
import { answerDial, Dialer, parseDial, refusal } from '../src/nats-handshake.js';
import { answerSubject } from '../src/nats-question.js';
import { connectNatsLink, listenNatsLinks, type NatsListenOptions } from '../src/nats-rendezvous.js';
import { acceptNatsSegments, dialNatsSegments } from '../src/nats-segments.js';
import { announceRun, findRun } from '../src/nats-whereabouts.js';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '../src/test-nats-server.js';

const SECRET = 'a secret of 192 bits, say';
const TIMEOUT_MS = 5000;
const PLAINTEXT = Buffer.from('the gradient of the third layer, or a sample with a name in it');

/** A copy of each message that it hears, changed in some way, and where it sends it. */
type Mischief = (subject: string, data: Buffer) => [subject: string, data: Buffer][];

const opposite: Readonly<Record<string, string>> = { up: 'down', down: 'up', data: 'credit', credit: 'data' };
const otherWay = (subject: string) => subject.replace(/\w+$/, (end) => opposite[end] ?? end);

const MISCHIEF: Readonly<Record<string, Mischief>> = {
  'says it again': (subject, data) => [[subject, data]],
  'sends it back': (subject, data) => [[otherWay(subject), data]],
  'cuts it off': (subject, data) => [
    [subject, data.subarray(0, data.length / 2)],
    [subject, data.subarray(0, 6)],
    [subject, Buffer.alloc(0)],
  ],
  'changes a bit of it': (subject, data) =>
    [0, 1, 6, 7, data.length - 1].map((at) => {
      const changed = Buffer.from(data);
      changed[at] ^= 1;
      return [subject, changed];
    }),
  'says it under the next numbers': (subject, data) =>
    [1, 2, 3].map((step) => {
      const later = Buffer.from(data);
      later[1] += step;
      return [subject, later];
    }),
  'says goodbye, and gives credit': (subject) => [
    [subject, Buffer.from([4, 0, 0, 0, 0, 0, 0, ...Buffer.from('the other end is done')])],
    [subject, Buffer.from([2, 1, 0, 0, 0, 0, 0, 255, 255, 255, 127, ...Buffer.alloc(16)])],
  ],
};

describe.skipIf(natsServerProgram === undefined)('who has no key (skipped where there is no nats-server)', () => {
  let server: TestNatsServer;
  const connections: NatsConnection[] = [];
  let subjects = 0;
  const forged: string[] = [];

  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterEach(async () => {
    forged.length = 0;
    await Promise.all(connections.splice(0).map((connection) => connection.close()));
  });
  afterAll(() => server.stop());

  const open = async (): Promise<NatsConnection> => {
    const onForgery = (from: string) => void forged.push(from);
    const connection = await openNats({ servers: server.url, timeoutMs: TIMEOUT_MS, onForgery });
    connections.push(connection);
    return connection;
  };

  /** Hears everything below a subject, and does its mischief with each message of others, once. */
  const intrude = async (below: string, act: (connection: NatsConnection, message: Msg) => void): Promise<Buffer[]> => {
    const intruder = await open();
    const heard: Buffer[] = [];
    const own = new Set<string>();
    const publish = intruder.publish.bind(intruder);
    intruder.publish = (subject, data = '', options) => {
      own.add(`${subject} ${Buffer.from(data).toString('base64')}`);
      publish(subject, data, options);
    };
    intruder.subscribe(below, {
      callback: (_, message) => {
        const data = Buffer.from(message.data);
        if (own.has(`${message.subject} ${data.toString('base64')}`)) return;
        heard.push(data);
        act(intruder, message);
      },
    });
    await intruder.flush();
    return heard;
  };

  const causing = (mischief: Mischief) => (intruder: NatsConnection, message: Msg) => {
    // Not only messages of channels: also dials and answers, which are no numbered messages.
    for (const [subject, data] of mischief(message.subject, Buffer.from(message.data))) intruder.publish(subject, data);
  };

  const listen = async (more: Partial<NatsListenOptions> = {}) => {
    const listening = await open();
    const subject = `test.intruded.${++subjects}`;
    const accepted: Link[] = [];
    listenNatsLinks(listening, { subject, match: (passes) => [SECRET].find(passes), ...more }, (link) =>
      accepted.push(link),
    );
    await listening.flush();
    return { subject, accepted };
  };

  it.each(Object.keys(MISCHIEF))('changes nothing on a message link: %s', async (what) => {
    const { subject, accepted } = await listen();
    const heard = await intrude(`${subject}.>`, causing(MISCHIEF[what]));
    const dialed = await connectNatsLink(await open(), { subject, secret: SECRET, timeoutMs: TIMEOUT_MS });
    for (let round = 0; round < 5; round++) {
      for (const [from, to] of [
        [dialed, accepted[0]],
        [accepted[0], dialed],
      ]) {
        const message = Buffer.concat([PLAINTEXT, Buffer.alloc(round * 60_000, round)]);
        await from.send(message);
        expect(Buffer.from(await to.receive()).equals(message)).toBe(true);
      }
    }
    await dialed.close('all is said');
    expect(await accepted[0].closed).toEqual({ reason: 'all is said', clean: true });
    expect(accepted).toHaveLength(1);
    expect(forged.length).toBeGreaterThan(0);
    expect(heard.length).toBeGreaterThan(10);
    expect(heard.some((data) => data.includes(PLAINTEXT.subarray(0, 12)))).toBe(false);
  });

  it.each(Object.keys(MISCHIEF))('changes nothing on a segment link: %s', async (what) => {
    const prefix = `test.ring${++subjects}`;
    const heard = await intrude(`${prefix}.>`, causing(MISCHIEF[what]));
    const options = { prefix, generation: 3, senderRank: 0, rank: 1, key: SECRET, timeoutMs: TIMEOUT_MS };
    const [sender, receiver] = await Promise.all([
      acceptNatsSegments({ ...options, connection: await open() }),
      dialNatsSegments({ ...options, connection: await open() }),
    ]);
    const segment = Buffer.concat([PLAINTEXT, Buffer.alloc(300_000, 5)]);
    for (let round = 0; round < 5; round++) {
      const target = new Uint8Array(segment.length);
      await Promise.all([sender.send(segment), receiver.receive([target])]);
      expect(Buffer.from(target).equals(segment)).toBe(true);
    }
    sender.close();
    expect(await receiver.closed).toEqual({ reason: 'closed by the sender', clean: true });
    expect(heard.length).toBeGreaterThan(10);
    expect(heard.some((data) => data.includes(PLAINTEXT.subarray(0, 12)))).toBe(false);
  });

  /** Everything that can be said where an answer is due, before the right one. */
  const answerFalsely = (subject: string) => (intruder: NatsConnection, message: Msg) => {
    const dial = parseDial(message.data);
    if (!dial || message.subject !== subject) return;
    const where = answerSubject(subject, dial.key);
    const own = answerDial(dial, { subject, secret: 'a guess' }, KeyPair.create());
    for (const text of [
      '',
      'refused',
      refusal('secret'),
      '{"refused":"version","version":99}',
      own?.answer ?? '',
      JSON.stringify({ key: 'A'.repeat(43), proof: 'A'.repeat(43) }),
    ])
      intruder.publish(where, text);
  };

  it('cannot answer in the place of whom a dial is for, nor say that it refuses', async () => {
    const { subject, accepted } = await listen();
    await intrude(subject, answerFalsely(subject));
    for (let count = 0; count < 5; count++) {
      const dialed = await connectNatsLink(await open(), { subject, secret: SECRET, timeoutMs: TIMEOUT_MS });
      await dialed.send(PLAINTEXT);
      expect(Buffer.from(await accepted[count].receive()).equals(PLAINTEXT)).toBe(true);
    }
  });

  it('cannot answer for one that comes late to a ring link, however often it says so, nor be taken for its neighbour', async () => {
    const prefix = `test.ring${++subjects}`;
    const subject = `${prefix}.ring.3.0-1`;
    const falsely = answerFalsely(subject);
    await intrude(`${prefix}.>`, (intruder, message) => {
      falsely(intruder, message);
      if (message.subject !== subject) return;
      intruder.publish(`${subject}.here`);
      intruder.publish(subject, new Dialer({ subject, secret: 'a guess' }).dial);
      intruder.publish(subject, message.data);
    });
    const options = { prefix, generation: 3, senderRank: 0, rank: 1, key: SECRET, timeoutMs: TIMEOUT_MS };
    const receiving = dialNatsSegments({ ...options, connection: await open() });
    const sender = await acceptNatsSegments({ ...options, connection: await open() });
    const receiver = await receiving;
    const target = new Uint8Array(PLAINTEXT.length);
    await Promise.all([sender.send(PLAINTEXT), receiver.receive([target])]);
    expect(Buffer.from(target).equals(PLAINTEXT)).toBe(true);
  });

  it('keeps nobody out with wrong dials, which open no link', async () => {
    let refused = 0;
    const { subject, accepted } = await listen({ onRefused: () => void refused++ });
    const intruder = await open();
    for (let count = 0; count < 500; count++)
      intruder.publish(subject, new Dialer({ subject, secret: `guess ${count}` }).dial);
    const dialed = await connectNatsLink(await open(), { subject, secret: SECRET, timeoutMs: TIMEOUT_MS });
    await dialed.send(PLAINTEXT);
    expect(accepted).toHaveLength(1);
    expect(refused).toBe(500);
  });

  it('opens no link with a dial that it has recorded', async () => {
    const { subject, accepted } = await listen();
    const heard = await intrude(subject, () => {});
    const dialed = await connectNatsLink(await open(), { subject, secret: SECRET, timeoutMs: TIMEOUT_MS });
    await dialed.close();
    const intruder = await open();
    for (let count = 0; count < 10; count++) intruder.publish(subject, heard[0]);
    await intruder.flush();
    await (await connectNatsLink(await open(), { subject, secret: SECRET, timeoutMs: TIMEOUT_MS })).close();
    expect(accepted).toHaveLength(2);
  });

  it('is told what it lacks: the token, or the version', async () => {
    const { subject } = await listen();
    const connection = await open();
    const dial = connectNatsLink(connection, { subject, secret: 'a guess', timeoutMs: 500 });
    await expect(dial).rejects.toMatchObject({ code: 'TOKEN_WRONG', hint: expect.stringContaining('coord worker') });
    const later = JSON.stringify({ version: 99, key: 'k'.repeat(43) });
    expect((await connection.request(subject, later, { timeout: TIMEOUT_MS })).json()).toEqual({
      refused: 'version',
      version: PROTOCOL_VERSION,
    });
  });

  it('cannot answer for whom the dialer knows the standing key of, though it knows the secret', async () => {
    const [standing, other] = [KeyPair.create(), KeyPair.create()];
    const [right, wrong] = [await listen({ standing }), await listen({ standing: other })];
    const dial = async ({ subject }: typeof right) =>
      connectNatsLink(await open(), {
        subject,
        secret: SECRET,
        standingKey: standing.publicKey,
        timeoutMs: 500,
      });
    await (await dial(right)).close();
    await expect(dial(wrong)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    // Says that it is the one, and has not its private half.
    const imposter = await open();
    const subject = `test.intruded.${++subjects}`;
    imposter.subscribe(subject, {
      callback: (_, { data }) => {
        const dialed = parseDial(data);
        const answered = dialed && answerDial(dialed, { subject, secret: SECRET }, other);
        if (!answered) return;
        const answer = answered.answer.replace(other.publicKey, standing.publicKey);
        imposter.publish(answerSubject(subject, dialed.key), answer);
      },
    });
    await imposter.flush();
    await expect(dial({ subject, accepted: [] })).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  it('finds no run and hides none: whose token it is finds its own among others', async () => {
    const identityOf = (secret: string) => ({
      standing: KeyPair.create(),
      match: (passes: (secret: string) => boolean) => [secret].find(passes),
    });
    const [mine, theirs] = [identityOf(SECRET), identityOf('of another run')];
    const [first, second] = [await open(), await open()];
    announceRun(first, 'mine', mine);
    announceRun(second, 'theirs', theirs);
    await Promise.all([first.flush(), second.flush()]);
    await intrude('coord.whereabouts', answerFalsely('coord.whereabouts'));
    const worker = await open();
    const find = (more: object = {}) => findRun(worker, { secret: SECRET, askMs: 200, refusedMs: 300, ...more });
    expect(await find()).toBe('mine');
    expect(await find({ standingKey: mine.standing.publicKey })).toBe('mine');
    await expect(find({ secret: 'a guess' })).rejects.toMatchObject({ code: 'TOKEN_WRONG' });
    announceRun(second, 'second', identityOf(SECRET));
    await second.flush();
    await expect(find()).rejects.toMatchObject({ code: 'USAGE' });
    expect(await find({ standingKey: mine.standing.publicKey })).toBe('mine');
  });

  it('fills no log', () => {
    const told: number[] = [];
    const note = countForgeries((messages) => void told.push(messages));
    for (let count = 0; count < 12_345; count++) note('somebody');
    expect(told).toEqual([1, 10, 100, 1000, 10_000]);
  });
});
