import { connect } from 'node:net';
import { encodeMessage, LIMITS, PROTOCOL_VERSION, type WorkerMessage } from '@coord/protocol';
import { connectLink, type Link } from '@coord/transport';
import { describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from './cluster.js';
import { FakeClock } from './fake-clock.js';
import { stateAt, stepReport, temporaryDirectory, testRun } from './fixtures.js';
import { ScriptedWorker } from './scripted-worker.js';

const dial = (cluster: TestCluster): Promise<Link> => connectLink(`${cluster.url}/join`, { timeoutMs: 5000 });

/** After whatever a test did to it, the coordinator still takes an honest worker. */
async function expectOthersGoOn(cluster: TestCluster): Promise<void> {
  const worker = await cluster.join('honest');
  await worker.ready();
  expect((await worker.nextView()).members.at(-1)?.workerId).toBe(worker.workerId);
}

describe('joining', () => {
  it('welcomes a worker that knows the token and proves to know it too', async () => {
    const cluster = await startTestCluster();
    const worker = await cluster.join('alpha');
    expect(worker.workerId).toBe('w1');
    expect(await cluster.events.nth('worker-joined')).toMatchObject({ workerId: 'w1', name: 'alpha' });
  });

  it('refuses a wrong token, names the worker, and tells what to do', async () => {
    const cluster = await startTestCluster();
    const worker = await ScriptedWorker.connect(cluster.url, 'mallory');
    await worker.sayHello('not the token');
    const refused = await worker.next('refused');
    expect(refused).toMatchObject({ code: 'TOKEN_WRONG' });
    expect(refused.message).toContain('mallory');
    expect(refused.message).not.toContain(cluster.token);
    expect(refused.hint).toContain('coord worker');
    await worker.link.closed;
    expect(await cluster.events.nth('warning')).toMatchObject({ code: 'TOKEN_WRONG' });
    await expectOthersGoOn(cluster);
  });

  it('refuses another protocol version, names both and says which side is old', async () => {
    const cluster = await startTestCluster();
    const worker = await ScriptedWorker.connect(cluster.url);
    await worker.sayHello(cluster.token, PROTOCOL_VERSION + 1);
    const refused = await worker.next('refused');
    expect(refused.code).toBe('PROTOCOL_VERSION');
    expect(refused.message).toContain(`version ${PROTOCOL_VERSION + 1}`);
    expect(refused.message).toContain(`version ${PROTOCOL_VERSION}`);
    expect(refused.hint).toContain('the coordinator is the older one');
    await expectOthersGoOn(cluster);
  });

  it('refuses another protocol version even if that version says hello in other words', async () => {
    const cluster = await startTestCluster();
    const worker = await ScriptedWorker.connect(cluster.url);
    await worker.next('challenge');
    await worker.link.send(encodeMessage({ type: 'hello', protocolVersion: 0, colour: 'blue' }));
    expect((await worker.next('refused')).code).toBe('PROTOCOL_VERSION');
  });

  it('looks at no more than the handshake limit before the proof', async () => {
    const cluster = await startTestCluster();
    const link = await dial(cluster);
    await link.send(new Uint8Array(LIMITS.handshakeBytes + 1));
    await link.closed;
    const warning = await cluster.events.nth('warning');
    expect(warning.code).toBe('FRAME_TOO_LARGE');
    expect(warning.message).toContain(`${LIMITS.handshakeBytes}`);
    await expectOthersGoOn(cluster);
  });

  it('closes on garbage instead of a hello', async () => {
    const cluster = await startTestCluster();
    const link = await dial(cluster);
    await link.send(Uint8Array.of(0xc1, 0xff, 0x00));
    await link.closed;
    expect((await cluster.events.nth('warning')).code).toMatch(/FRAME_INVALID|MESSAGE_INVALID/);
    await expectOthersGoOn(cluster);
  });

  it('closes on a first word that is no hello', async () => {
    const cluster = await startTestCluster();
    const link = await dial(cluster);
    await link.send(encodeMessage({ type: 'ready' }));
    await link.closed;
    expect((await cluster.events.nth('warning')).code).toBe('MESSAGE_INVALID');
    await expectOthersGoOn(cluster);
  });

  it('gives a silent stranger its time, then closes', async () => {
    const clock = new FakeClock();
    const cluster = await startTestCluster({ clock });
    const worker = await ScriptedWorker.connect(cluster.url);
    await worker.next('challenge');
    clock.advance(10_001);
    expect((await worker.next('refused')).code).toBe('LINK_TIMEOUT');
    await worker.link.closed;
  });

  it('survives bytes that are no WebSocket at all', async () => {
    const cluster = await startTestCluster();
    const { port } = cluster.coordinator.endpoint;
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.end('GET /join HTTP/1.1\r\n\r\n\u0000\u0001garbage'));
      socket.on('close', () => resolve()).resume();
    });
    await expectOthersGoOn(cluster);
  });
});

const SUMS = { loss: 1, correct: 1, samples: 16 };

async function inView(worker: ScriptedWorker, message: WorkerMessage): Promise<void> {
  await worker.ready();
  await worker.next('view');
  await worker.send(message);
}

describe('a welcomed worker that breaks the rules', () => {
  const cases: [string, (worker: ScriptedWorker) => Promise<void>, string, string][] = [
    ['reports a step before it is ready', (w) => w.send(stepReport(1)), 'MESSAGE_UNEXPECTED', 'step-report'],
    ['says that it has finished before it began', (w) => w.finish(8), 'MESSAGE_UNEXPECTED', 'finished'],
    ['sends a state that nobody asked for', (w) => w.upload(stateAt(1)), 'MESSAGE_UNEXPECTED', 'state-begin'],
    ['is ready twice', (w) => w.ready().then(() => w.ready()), 'MESSAGE_UNEXPECTED', 'ready'],
    [
      'evaluates a step that does not exist',
      (w) => inView(w, { type: 'evaluation-report', step: 9, epoch: 1, metrics: SUMS, durationMs: 1 }),
      'MESSAGE_UNEXPECTED',
      'step 9 of 8 does not exist',
    ],
    [
      'reports a tally that this run has not',
      (w) => inView(w, { ...stepReport(1), metrics: { ...SUMS, tally: [1] } }),
      'MESSAGE_UNEXPECTED',
      'its tally has 1 numbers, those of this run have 0',
    ],
    ['sends garbage', (w) => w.link.send(Uint8Array.of(0xdb, 0, 0, 0, 9)), 'FRAME_INVALID', 'MessagePack'],
    ['sends an unknown type', (w) => w.link.send(encodeMessage({ type: 'gossip' })), 'MESSAGE_INVALID', 'type'],
    [
      'sends a wrong field',
      (w) => w.link.send(encodeMessage({ type: 'heartbeat', step: -1, generation: 0, phase: 'compute' })),
      'MESSAGE_INVALID',
      'step',
    ],
  ];
  for (const [what, act, code, word] of cases) {
    it(`is named and closed when it ${what}`, async () => {
      const cluster = await startTestCluster();
      const worker = await cluster.join('rogue');
      await act(worker).catch(() => {});
      const expelled = await worker.next('expelled');
      expect(expelled).toMatchObject({ code });
      expect(expelled.message).toContain('rogue');
      expect(expelled.message).toContain(word);
      await worker.link.closed;
      expect((await cluster.events.nth('worker-lost')).workerId).toBe(worker.workerId);
      await expectOthersGoOn(cluster);
    });
  }

  it('is closed when it sends more than a message may hold', async () => {
    const cluster = await startTestCluster();
    const link = await connectLink(`${cluster.url}/join`, { timeoutMs: 5000, maxMessageBytes: 2 ** 30 });
    const worker = new ScriptedWorker(link, 'huge');
    await worker.sayHello(cluster.token);
    await worker.next('welcome');
    await link.send(new Uint8Array(LIMITS.messageBytes + 1)).catch(() => {});
    await link.closed;
    expect((await cluster.events.nth('worker-lost')).reason).toContain('limit');
    await expectOthersGoOn(cluster);
  });

  it('cannot make the coordinator take a state longer than the run has', async () => {
    const run = testRun({ checkpoint: { everySteps: 1, everyEpochs: 0 } });
    const cluster = await startTestCluster({ run });
    const [worker] = await cluster.training(1);
    await worker.report(1);
    await worker.next('state-request');
    const state = stateAt(1);
    const longer = { ...state, exponents: new Uint8Array(state.exponents.length + 1) };
    await worker.upload(longer).catch(() => {});
    const expelled = await worker.next('expelled');
    expect(expelled.code).toBe('MESSAGE_INVALID');
    expect(expelled.message).toContain('longer than its header says');
  });

  it('cannot end a run before its last step', async () => {
    const cluster = await startTestCluster();
    const [worker] = await cluster.training(1);
    await worker.finish(3);
    expect((await worker.next('expelled')).message).toContain('after step 8');
  });
});

describe('heartbeats', () => {
  it('that stop make a worker lost, named with its last phase; the others get a view without it', async () => {
    const clock = new FakeClock();
    const cluster = await startTestCluster({ clock, minWorkers: 1 });
    const hung = await cluster.join('hung');
    const alive = await cluster.join('alive');
    await hung.ready();
    await alive.ready();
    await cluster.events.nth('worker-ready', 2);
    clock.advance(20);
    expect((await alive.nextView()).members).toHaveLength(2);
    await hung.nextView();
    await hung.send({ type: 'heartbeat', step: 0, generation: 1, phase: 'compute' });
    for (let second = 0; second < 7; second++) {
      await alive.send({ type: 'heartbeat', step: 0, generation: 1, phase: 'ring' });
      // A block request is answered, so its answer says that the heartbeats before it were read.
      await alive.send({ type: 'block-request', sha256: 'a'.repeat(64) });
      await alive.next('block');
      clock.advance(1000);
    }
    const lost = await cluster.events.nth('worker-lost');
    expect(lost.workerId).toBe(hung.workerId);
    expect(lost.reason).toContain('compute');
    expect((await hung.next('expelled')).code).toBe('LINK_TIMEOUT');
    expect((await alive.nextView()).members.map(({ workerId }) => workerId)).toEqual([alive.workerId]);
  });
});

describe('the HTTP side', () => {
  it('tells this machine its status without a token', async () => {
    const cluster = await startTestCluster({ minWorkers: 2 });
    const workers = await cluster.training(2);
    await Promise.all(workers.map((worker) => worker.report(1)));
    await cluster.events.nth('step');
    const status = await (await fetch(`${cluster.url.replace('ws:', 'http:')}/status`)).json();
    expect(status).toMatchObject({
      model: 'mlp',
      phase: 'training',
      step: 1,
      totalSteps: 8,
      view: { generation: 1, members: ['w1', 'w2'] },
      metrics: { loss: 1, accuracy: 0.5 },
    });
    expect(status.workers[1]).toMatchObject({ workerId: 'w2', rank: 1, share: 1, step: 1, samplesPerSecond: 800 });
    expect(JSON.stringify(status)).not.toContain(cluster.token);
  });

  it('is healthy, and knows nothing else', async () => {
    const cluster = await startTestCluster();
    const base = cluster.url.replace('ws:', 'http:');
    expect(await (await fetch(`${base}/healthz`)).json()).toEqual({ ok: true, timeMs: expect.any(Number) });
    expect((await fetch(`${base}/etc/passwd`)).status).toBe(404);
  });

  it('says that a port is taken, and how to choose another', async () => {
    const cluster = await startTestCluster();
    const listen = { host: '127.0.0.1', port: cluster.coordinator.endpoint.port };
    const options = { listen, runDir: await temporaryDirectory() };
    const error = await startTestCluster(options).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'PORT_IN_USE', exitCode: 6 });
    expect(error.message).toContain(`${listen.port}`);
    expect(error.hint).toContain('--listen');
  });

  it('says that an address is not of this machine', async () => {
    const listen = { host: '192.0.2.1', port: 0 };
    await expect(startTestCluster({ listen })).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });
});
