/**
 * A run over NATS: joins, control messages and the ring all pass a real nats-server; hosts only dial out. The weights are the
 * bits of a run over sockets, also when a worker is killed and the server itself dies and comes back.
 */

import { PROTOCOL_VERSION } from '@coord/protocol';
import { natsServerProgram, startNatsServer, type TestNatsServer } from '@coord/transport/testing';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type CoordEvent,
  type CoordProcess,
  coord,
  endAll,
  freePort,
  runCoord,
  temporaryDirectory,
} from './support/coord.js';

const TOKEN = 'nats-test-token';
const env = { COORD_TOKEN: TOKEN };
const RUN = ['configs/synthetic-tiny.yaml', '--set', 'epochs=60', '--set', 'maxSteps=900', '--json'];

const servers: TestNatsServer[] = [];
const connections: NatsConnection[] = [];

afterEach(async () => {
  await endAll();
  await Promise.all(connections.splice(0).map((connection) => connection.close()));
  await Promise.all(servers.splice(0).map((server) => server.stop('SIGKILL')));
});

async function serve(options: Parameters<typeof startNatsServer>[0] = {}): Promise<TestNatsServer> {
  const server = await startNatsServer(options);
  servers.push(server);
  return server;
}

const start = (url: string, ...more: string[]): CoordProcess =>
  coord(
    [
      'start',
      ...RUN,
      '--transport',
      'nats',
      '--nats',
      url,
      '--workers',
      '0',
      '--run-dir',
      temporaryDirectory(),
      ...more,
    ],
    { env },
  );

const join = (url: string, name: string): CoordProcess => coord(['worker', url, '--name', name, '--json'], { env });

async function weightsAtEnd(run: CoordProcess): Promise<unknown> {
  expect((await run.exited).code, run.stderr).toBe(0);
  return run.events.find(({ event }) => event === 'finished')?.weightsSha256;
}

const reaches = (run: CoordProcess, step: number): Promise<CoordEvent> =>
  run.event(({ event, step: at }) => event === 'step' && (at as number) >= step);

/**
 * Says everything again that it hears on the subjects of links, then sent back, cut off and changed; answers every dial before the one who is asked,
 * and says that nobody is there.
 */
class Forger {
  /** Ends of the subjects that it has heard. */
  readonly kinds = new Set<string>();
  private readonly said = new Set<string>();

  constructor(private readonly connection: NatsConnection) {
    for (const subject of ['coord.*.>'])
      connection.subscribe(subject, {
        callback: (_, { subject: where, data }) => this.forge(where, Buffer.from(data)),
      });
  }

  private forge(subject: string, data: Buffer): void {
    if (this.said.delete(this.nameOf(subject, data))) return;
    const [, kind] = /\.(\w+|\d+-\d+)$/.exec(subject)!;
    if (!/-/.test(kind)) this.kinds.add(kind);
    if (data.length > 0) {
      const changed = Buffer.from(data);
      changed[changed.length - 1] ^= 1;
      const others = { up: 'down', down: 'up', data: 'credit', credit: 'data' } as const;
      const other = others[kind as keyof typeof others];
      this.say(subject, data);
      this.say(subject, changed);
      this.say(subject, data.subarray(0, data.length >> 1));
      if (other) this.say(subject.replace(/\w+$/, other), data);
    }
    const dialed = /"key":"([\w-]{43})","proof"/.exec(data.toString('latin1'))?.[1];
    if (dialed === undefined || kind === 'answer') return;
    for (const answer of [
      `{"refused":"secret","version":${PROTOCOL_VERSION}}`,
      '{"refused":"version","version":99}',
      'nonsense',
    ])
      this.say(`${subject}.${dialed}.answer`, Buffer.from(answer));
  }

  private say(subject: string, data: Buffer): void {
    this.said.add(this.nameOf(subject, data));
    this.connection.publish(subject, data);
  }

  private readonly nameOf = (subject: string, data: Buffer): string => `${subject} ${data.toString('latin1')}`;
}

describe.skipIf(natsServerProgram === undefined)('a run over NATS (skipped where there is no nats-server)', () => {
  it('has the bits of a run over sockets, though a worker is killed and the server restarted', async () => {
    const reference = coord(['start', ...RUN, '--workers', '1', '--run-dir', temporaryDirectory()]);
    const first = await serve();
    const listener = await connect({ servers: first.url });
    connections.push(listener);
    const notices: string[] = [];
    listener.subscribe('coord.*.ledger', { callback: (_, message) => void notices.push(message.string()) });
    await listener.flush();
    const run = start(first.url, '--min-workers', '3', '--set', 'natsNotices=true');
    const { urls } = (await run.event('listening')) as CoordEvent & { urls: string[] };
    // Two know the server alone, one the run as well.
    const victim = join(first.url, 'victim');
    const others = [join(first.url, 'first'), join(urls[0], 'second')];
    await reaches(run, 100);
    victim.kill('SIGKILL');
    await reaches(run, 400);
    await first.stop('SIGKILL');
    servers.splice(servers.indexOf(first), 1);
    await serve({ port: Number(new URL(first.url).port) });
    expect(await weightsAtEnd(run)).toBe(await weightsAtEnd(reference));
    for (const worker of others) expect(await worker.exited).toEqual({ code: 0, signal: null });
    expect(notices.join('')).toContain('"type":"view"');
  });

  it('ends with the bits of a run over sockets though somebody at the server forges whatever it hears', async () => {
    const short = ['--set', 'maxSteps=60'];
    const reference = coord(['start', ...RUN, ...short, '--workers', '1', '--run-dir', temporaryDirectory()]);
    const { url } = await serve();
    const intruder = await connect({ servers: url });
    connections.push(intruder);
    const forgery = new Forger(intruder);
    const run = start(url, '--min-workers', '2', '--listen', '127.0.0.1:0', ...short);
    await run.event('listening');
    const workers = [join(url, 'first'), join(url, 'second')];
    expect(await weightsAtEnd(run)).toBe(await weightsAtEnd(reference));
    for (const worker of workers) expect(await worker.exited).toEqual({ code: 0, signal: null });
    // Nobody was lost, nobody waited for anybody: one view after the other would be as well, but slower.
    expect(run.events.filter(({ event }) => event === 'worker-lost')).toEqual([]);
    // Nothing is said that everybody at the server could read, not even a notice.
    expect([...forgery.kinds].sort()).toEqual(['answer', 'credit', 'data', 'down', 'here', 'join', 'up']);
  });

  it('is waited for by who comes before it, and before the server', async () => {
    const port = await freePort();
    const url = `nats://127.0.0.1:${port}`;
    const early = join(url, 'early');
    expect(await early.event('coordinator-awaited')).toMatchObject({ code: 'UNREACHABLE', patienceMs: 30_000 });
    await serve({ port });
    const run = start(url, '--set', 'maxSteps=20', '--listen', '127.0.0.1:0');
    expect(await early.event('joined')).toBeDefined();
    const weightsSha256 = await weightsAtEnd(run);
    expect(await early.exited).toEqual({ code: 0, signal: null });
    expect(early.events.at(-1)).toMatchObject({ event: 'worker-finished', weightsSha256 });
  });

  it('is refused with a wrong token, and found only where it is', async () => {
    const { url } = await serve();
    const nobody = await runCoord(['worker', url, '--wait', '0', '--json'], { env });
    expect(nobody.code).not.toBe(0);
    expect(nobody.events[0]).toMatchObject({ event: 'error', code: 'UNREACHABLE' });
    const runs = [start(url, '--listen', '127.0.0.1:0'), start(url, '--listen', '127.0.0.1:0')];
    await Promise.all(runs.map((run) => run.event('listening')));
    const several = await runCoord(['worker', url, '--json'], { env });
    expect(several.events[0]).toMatchObject({ code: 'USAGE', message: expect.stringContaining('several runs') });
    const { urls } = (await runs[0].event('listening')) as CoordEvent & { urls: string[] };
    const stranger = await runCoord(['worker', urls[0], '--token', 'a wrong one', '--json']);
    expect(stranger.events[0]).toMatchObject({ event: 'error', code: 'TOKEN_WRONG' });
  });

  it("needs the server's own credentials, which stand in no address", async () => {
    const { url } = await serve({ args: ['--user', 'trainer', '--pass', 'open sesame'] });
    const closed = await start(url).exited;
    expect(closed.code).toBe(5);
    const wrong = { ...env, COORD_NATS_CREDENTIALS: 'trainer:a guess' };
    const refused = await runCoord(['worker', url, '--wait', '300', '--token', 'x', '--json'], { env: wrong });
    expect(refused.code).toBe(5);
    expect(refused.events[0]).toMatchObject({ code: 'TOKEN_WRONG', hint: expect.stringContaining('NATS_CREDENTIALS') });
    const told = await runCoord(['worker', 'nats://trainer:secret@127.0.0.1:4222', '--token', 'x', '--json']);
    expect(told.code).toBe(2);
    expect(told.stdout + told.stderr).not.toContain('secret');
    const allowed = { ...env, COORD_NATS_CREDENTIALS: 'trainer:open sesame' };
    const short = ['--set', 'maxSteps=20', '--workers', '1', '--set', 'local=processes', '--listen', '127.0.0.1:0'];
    const args = ['start', ...RUN, '--transport', 'nats', '--nats', url, '--run-dir', temporaryDirectory(), ...short];
    const run = await runCoord(args, { env: allowed });
    expect(run.code, run.stderr).toBe(0);
  });
});
