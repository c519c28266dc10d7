/** NATS servers that do not allow everything. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openNats } from '../src/nats-connection.js';
import { connectNatsLink } from '../src/nats-rendezvous.js';
import { acceptNatsSegments, dialNatsSegments } from '../src/nats-segments.js';
import { natsServerProgram, startNatsServer } from '../src/test-nats-server.js';

const TIMEOUT_MS = 5000;
const CREDENTIALS = { user: 'trainer', pass: 'sesame' };
const SEGMENTS = { prefix: 'coord.run', generation: 1, senderRank: 0, rank: 1, key: 'key', timeoutMs: TIMEOUT_MS };

async function serve(config: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'coord-nats-'));
  const file = join(directory, 'nats.conf');
  await writeFile(file, config);
  const server = await startNatsServer({ args: ['--config', file] });
  onTestFinished(async () => {
    await server.stop('SIGKILL');
    await rm(directory, { recursive: true });
  });
  return server.url;
}

const withPermissions = (permissions: string): Promise<string> =>
  serve(`authorization { users = [{ user: trainer, password: sesame, permissions: { ${permissions} } }] }\n`);

async function open(servers: string) {
  const denials: string[] = [];
  const onDenied = ({ message }: Error) => void denials.push(message);
  const connection = await openNats({ servers, timeoutMs: TIMEOUT_MS, credentials: CREDENTIALS, onDenied });
  onTestFinished(() => connection.close());
  return { connection, denials };
}

describe.skipIf(natsServerProgram === undefined)(
  'a NATS server that does not allow everything (skipped where there is no nats-server)',
  () => {
    it('carries ring links for who may use the subjects of runs, and no others', async () => {
      const url = await withPermissions('publish: ["coord.>"], subscribe: ["coord.>"]');
      const [sender, receiver] = await Promise.all([
        acceptNatsSegments({ ...SEGMENTS, connection: (await open(url)).connection }),
        dialNatsSegments({ ...SEGMENTS, connection: (await open(url)).connection }),
      ]);
      const arrived = new Uint8Array(3);
      await Promise.all([sender.send(Uint8Array.of(1, 2, 3)), receiver.receive([arrived])]);
      expect([...arrived]).toEqual([1, 2, 3]);
    });

    it('is named by who may not listen where it has to, at once', async () => {
      const url = await withPermissions(
        'publish: ["coord.>"], subscribe: { allow: ["coord.>"], deny: ["coord.run.>"] }',
      );
      const { connection, denials } = await open(url);
      const attempts = [
        acceptNatsSegments({ ...SEGMENTS, connection }),
        dialNatsSegments({ ...SEGMENTS, connection }),
        connectNatsLink(connection, { subject: 'coord.run.join', timeoutMs: TIMEOUT_MS }),
      ];
      for (const { status, ...outcome } of await Promise.allSettled(attempts)) {
        expect(status).toBe('rejected');
        expect(outcome).toMatchObject({
          reason: {
            code: 'NATS_DENIED',
            message: expect.stringContaining('coord.run'),
            hint: expect.stringContaining('max_subscriptions'),
          },
        });
      }
      expect(denials.join()).toContain('Permissions Violation');
    });

    it('is told of where nothing else would be: at a limit, and by who may not publish', async () => {
      const few = await open(await serve('max_subscriptions: 2\n'));
      for (const subject of ['coord.a', 'coord.b', 'coord.c']) few.connection.subscribe(subject, { callback() {} });
      await few.connection.flush();
      await expect.poll(() => few.denials.join()).toContain('maximum subscriptions exceeded');
      const mute = await open(await withPermissions('publish: { deny: ["coord.>"] }'));
      mute.connection.publish('coord.run.join', 'anything');
      await mute.connection.flush();
      await expect.poll(() => mute.denials.join()).toContain('Permissions Violation for Publish');
    });
  },
);
