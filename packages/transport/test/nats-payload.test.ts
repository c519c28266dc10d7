/** NATS servers that take short messages only. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openNats } from '../src/nats-connection.js';
import { NatsGateway } from '../src/nats-gateway.js';
import { acceptNatsSegments, dialNatsSegments } from '../src/nats-segments.js';
import { natsServerProgram, startNatsServer } from '../src/test-nats-server.js';

const TIMEOUT_MS = 5000;

async function serve(maxPayloadBytes: number): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'coord-nats-'));
  const file = join(directory, 'nats.conf');
  await writeFile(file, `max_payload: ${maxPayloadBytes}\n`);
  const server = await startNatsServer({ args: ['--config', file] });
  onTestFinished(async () => {
    await server.stop('SIGKILL');
    await rm(directory, { recursive: true });
  });
  return server.url;
}

describe.skipIf(natsServerProgram === undefined)(
  'a NATS server of small messages (skipped where there is no nats-server)',
  () => {
    it('carries segments of any length, and says why a link was closed as far as it goes', async () => {
      const url = await serve(1024);
      const ends = await Promise.all([1, 2].map(() => openNats({ servers: url, timeoutMs: TIMEOUT_MS })));
      onTestFinished(async () => void (await Promise.all(ends.map((connection) => connection.close()))));
      const options = {
        prefix: 'coord.small',
        generation: 1,
        senderRank: 0,
        rank: 1,
        key: 'key',
        timeoutMs: TIMEOUT_MS,
      };
      const [sender, receiver] = await Promise.all([
        acceptNatsSegments({ ...options, connection: ends[0] }),
        dialNatsSegments({ ...options, connection: ends[1] }),
      ]);
      const sent = Uint8Array.from({ length: 100_000 }, (_, at) => at * 7);
      const arrived = new Uint8Array(sent.length);
      await Promise.all([sender.send(sent), receiver.receive([arrived])]);
      expect(arrived).toEqual(sent);
      const reason = 'the reason '.repeat(300);
      (receiver as unknown as { channel: { refuse(reason: string): void } }).channel.refuse(reason);
      const { reason: told } = await sender.closed;
      expect(`refused: ${reason}`.startsWith(told)).toBe(true);
      expect(told.length).toBeGreaterThan(900);
    });

    it('passes on the notices that it takes, and no other', async () => {
      const url = await serve(1024);
      const gateway = await NatsGateway.open({ servers: url, timeoutMs: TIMEOUT_MS });
      const listener = await openNats({ servers: url, timeoutMs: TIMEOUT_MS });
      onTestFinished(async () => void (await Promise.all([gateway.close(), listener.close()])));
      const heard: string[] = [];
      listener.subscribe('coord.notices', { callback: (_error, message) => void heard.push(message.string()) });
      await listener.flush();
      for (const text of ['one', 'x'.repeat(1025), 'two']) gateway.tryPublish('coord.notices', text);
      await gateway.connection.flush();
      await listener.flush();
      expect(heard).toEqual(['one', 'two']);
    });

    it('is named with what it takes where that is too little for a handshake', async () => {
      const url = await serve(256);
      await expect(openNats({ servers: url, timeoutMs: TIMEOUT_MS })).rejects.toMatchObject({
        code: 'UNREACHABLE',
        message: expect.stringContaining('messages of 256 bytes at most, and 1024 are needed'),
        hint: expect.stringContaining('max_payload'),
      });
    });
  },
);
