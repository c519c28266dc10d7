import { CoordError, isCoordError, PROTOCOL_VERSION, type View } from '@coord/protocol';
import { turn, VirtualClock } from '@coord/transport/testing';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../src/backoff.js';
import { type ConnectionHandlers, CoordinatorConnection } from '../src/coordinator-connection.js';
import { type Report, ReportLog } from '../src/report-log.js';
import { type Script, ScriptedCoordinator, TOKEN, testRun } from './scripted-coordinator.js';

const PATIENCE_MS = 60_000;
const SHA256 = 'a'.repeat(64);

const stepReport = (step: number): Report => ({
  type: 'step-report',
  generation: 1,
  step,
  weightsSha256: SHA256,
  metrics: { loss: 1, correct: 0, samples: 16 },
  ownSamples: 8,
  times: { loadMs: 0, computeMs: 0, waitMs: 0, ringMs: 0, optimizerMs: 0, totalMs: 0 },
  skipped: false,
  requantised: false,
});

const evaluationReport = (step: number): Report => ({
  type: 'evaluation-report',
  step,
  epoch: 1,
  metrics: { loss: 1, correct: 0, samples: 16 },
  durationMs: 1,
});

const finished = (step: number): Report => ({ type: 'finished', step, weightsSha256: SHA256, stopped: false });

const view = (generation: number, workerId: string): View => ({
  runId: 'run',
  generation,
  members: [{ workerId, name: 'w', endpoint: { host: '127.0.0.1', port: 1 }, share: 1, workers: 1 }],
  ringKey: 'k'.repeat(32),
  reason: 'test',
});

/** One worker's connection, and whoever is its coordinator at the moment. */
class Stage {
  readonly clock = new VirtualClock();
  readonly attemptsAtMs: number[] = [];
  readonly events: string[] = [];
  ended: CoordError | undefined;
  step = 0;
  connection!: CoordinatorConnection;
  coordinator: ScriptedCoordinator | undefined;

  static async open(script: Script = {}): Promise<Stage> {
    const stage = new Stage();
    stage.coordinator = new ScriptedCoordinator(script);
    await stage.connect();
    stage.attemptsAtMs.length = 0;
    stage.connection.listen(stage.handlers());
    return stage;
  }

  async connect(joinPatienceMs?: number): Promise<void> {
    this.connection = await CoordinatorConnection.open({
      dial: async () => this.dial(),
      identity: { token: TOKEN, name: 'w', hostName: 'h' },
      clock: this.clock,
      random: () => 0,
      patienceMs: PATIENCE_MS,
      joinPatienceMs,
      onAwaited: ({ code }) => this.events.push(`awaited: ${code}`),
      logger: pino({ level: 'silent' }),
    });
  }

  announce(): void {
    const endpoint = { host: '127.0.0.1', port: 4000 };
    const identity = { engine: 'none', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 };
    this.connection.announce(() => ({ type: 'ready', endpoint, identity, step: this.step, share: 1, workers: 1 }));
  }

  report(report: Report): void {
    this.step = report.step;
    this.connection.report(report);
  }

  async lose(): Promise<void> {
    this.coordinator?.die();
    this.coordinator = undefined;
    await turn();
  }

  replace(script: Script): ScriptedCoordinator {
    this.coordinator = new ScriptedCoordinator(script);
    return this.coordinator;
  }

  private dial() {
    this.attemptsAtMs.push(this.clock.nowMs());
    if (!this.coordinator) throw new CoordError('UNREACHABLE', 'nobody listens');
    return this.coordinator.accept();
  }

  private handlers(): ConnectionHandlers {
    return {
      onView: ({ generation }) => this.events.push(`view ${generation}`),
      onStateRequest: () => this.events.push('state-request'),
      onEcho: () => this.events.push('echo'),
      onDrain: () => this.events.push('drain'),
      onStop: () => this.events.push('stop'),
      onGoodbye: () => this.events.push('goodbye'),
      onLost: () => this.events.push('lost'),
      onReturned: (workerId) => this.events.push(`returned as ${workerId}`),
      onEnded: (error) => {
        this.ended = error;
      },
    };
  }
}

/** What a coordinator heard, in brief. */
const briefly = ({ heard }: ScriptedCoordinator): string[] =>
  heard.map((message) => ('step' in message ? `${message.type} ${message.step}` : message.type));

describe('a worker that loses its coordinator', () => {
  it('comes back as another worker, says where it stands and repeats what is not settled, in order', async () => {
    const stage = await Stage.open();
    stage.announce();
    stage.coordinator?.say({ type: 'view', view: view(7, 'w1') });
    for (let step = 1; step <= 3; step++) stage.report(stepReport(step));
    await turn();
    await stage.lose();
    stage.report(stepReport(4));
    stage.report(evaluationReport(4));
    stage.report(stepReport(5));
    const next = stage.replace({ workerId: 'w4', settledStep: 2 });
    await stage.clock.pass(1000);
    expect(stage.events).toEqual(['view 7', 'lost', 'returned as w4']);
    expect(next.hello?.returns).toEqual({ runId: 'run', workerId: 'w1', generation: 7 });
    expect(briefly(next)).toEqual([
      'ready 5',
      'step-report 3',
      'step-report 4',
      'evaluation-report 4',
      'step-report 5',
    ]);
    stage.report(stepReport(6));
    await turn();
    expect(briefly(next).at(-1)).toBe('step-report 6');
  });

  it('pauses longer and longer, up to five seconds', async () => {
    const stage = await Stage.open();
    stage.announce();
    await stage.lose();
    await stage.clock.pass(20_000);
    const pauses = stage.attemptsAtMs.map((atMs, index) => atMs - (stage.attemptsAtMs[index - 1] ?? 0));
    expect(pauses).toEqual([200, 400, 800, 1600, 3200, 5000, 5000]);
  });

  it('gives up when its patience ends, and leaves no timer behind', async () => {
    const stage = await Stage.open();
    stage.announce();
    await stage.lose();
    await stage.clock.pass(PATIENCE_MS - 1);
    expect(stage.ended).toBeUndefined();
    await stage.clock.pass(1);
    expect(stage.ended).toMatchObject({ code: 'COORDINATOR_LOST', facts: { patienceMs: PATIENCE_MS } });
    await expect(stage.connection.ask(async () => 1)).rejects.toBe(stage.ended);
    expect(stage.clock.pending).toBe(0);
  });

  it('has its patience back after every return', async () => {
    const stage = await Stage.open();
    stage.announce();
    for (let round = 2; round < 5; round++) {
      await stage.lose();
      await stage.clock.pass(PATIENCE_MS - 6000);
      stage.replace({ workerId: `w${round}` });
      await stage.clock.pass(6000);
    }
    expect(stage.ended).toBeUndefined();
    expect(stage.connection.workerId).toBe('w4');
  });

  it('leaves a coordinator alone that accepts and never answers, and tries the next one', async () => {
    const stage = await Stage.open();
    stage.announce();
    await stage.lose();
    stage.replace({ mute: true });
    await stage.clock.pass(5000);
    stage.replace({ workerId: 'w9' });
    await stage.clock.pass(20_000);
    expect(stage.connection.workerId).toBe('w9');
  });

  it('refuses a coordinator of another run', async () => {
    const stage = await Stage.open();
    stage.announce();
    await stage.lose();
    stage.replace({ run: testRun({ runId: 'other' }) });
    await stage.clock.pass(1000);
    expect(stage.ended).toMatchObject({ code: 'JOIN_REFUSED', message: expect.stringContaining('another run') });
  });

  it('refuses a coordinator whose run goes on for another time, and says what is other', async () => {
    const stage = await Stage.open();
    stage.announce();
    await stage.lose();
    stage.replace({ run: testRun({ epochs: testRun().epochs + 1 }) });
    await stage.clock.pass(1000);
    expect(stage.ended).toMatchObject({
      code: 'JOIN_REFUSED',
      message: expect.stringMatching(/other settings .*: epochs$/),
    });
  });

  it('refuses a coordinator that does not know its token', async () => {
    const stage = await Stage.open();
    stage.announce();
    await stage.lose();
    stage.replace({ token: 'another-token' });
    await stage.clock.pass(1000);
    expect(isCoordError(stage.ended, 'TOKEN_WRONG')).toBe(true);
  });

  it('is a newcomer when it had not been ready', async () => {
    const stage = await Stage.open();
    await stage.lose();
    const next = stage.replace({ workerId: 'w2' });
    await stage.clock.pass(1000);
    expect(next.hello).toBeDefined();
    expect(next.hello?.returns).toBeUndefined();
    expect(briefly(next)).toEqual([]);
  });

  it('asks the next coordinator for the block that the last one did not send', async () => {
    const stage = await Stage.open();
    stage.announce();
    const block = stage.connection.ask((session) => session.requestBlock(SHA256));
    await turn();
    await stage.lose();
    const next = stage.replace({ workerId: 'w2' });
    await stage.clock.pass(1000);
    next.say({ type: 'block', sha256: SHA256, data: Uint8Array.of(1, 2, 3) });
    expect([...(await block)]).toEqual([1, 2, 3]);
  });

  it('drops what only the coordinator of the moment could use', async () => {
    const stage = await Stage.open();
    stage.announce();
    await stage.lose();
    await stage.connection.say({ type: 'heartbeat', step: 1, generation: 1, phase: 'compute' });
    const next = stage.replace({ workerId: 'w2' });
    await stage.clock.pass(1000);
    expect(briefly(next)).toEqual(['ready 0']);
  });
});

describe('a connection that ends', () => {
  it('is not taken up again after a goodbye', async () => {
    const stage = await Stage.open();
    stage.announce();
    stage.coordinator?.say({ type: 'goodbye' });
    await turn();
    await stage.lose();
    await stage.clock.pass(PATIENCE_MS);
    expect([stage.events, stage.attemptsAtMs, stage.ended]).toEqual([['goodbye'], [], undefined]);
  });

  it('answers who still asks for something at the goodbye, and after it', async () => {
    const stage = await Stage.open();
    const asked = stage.connection.ask((session) => session.requestBlock(SHA256));
    asked.catch(() => {});
    stage.coordinator!.say({ type: 'goodbye' });
    await turn();
    await stage.lose();
    await expect(asked).rejects.toMatchObject({ code: 'JOIN_REFUSED' });
    await expect(stage.connection.ask(async () => 1)).rejects.toMatchObject({ code: 'JOIN_REFUSED' });
  });

  it('is not taken up again when the coordinator expels the worker for a fault', async () => {
    const stage = await Stage.open();
    stage.announce();
    stage.coordinator?.say({ type: 'expelled', code: 'REPLICA_DIVERGED', message: 'other weights' });
    await turn();
    expect(stage.ended).toMatchObject({ code: 'REPLICA_DIVERGED', message: 'other weights' });
    await stage.clock.pass(PATIENCE_MS);
    expect(stage.attemptsAtMs).toEqual([]);
  });

  it('is taken up again when the coordinator took a silent worker for dead', async () => {
    const stage = await Stage.open();
    stage.announce();
    stage.coordinator?.say({ type: 'expelled', code: 'LINK_TIMEOUT', message: 'silent for 3000 ms' });
    await turn();
    const next = stage.replace({ workerId: 'w2' });
    await stage.clock.pass(1000);
    expect(next.hello?.returns?.workerId).toBe('w1');
  });

  it('stops trying once the worker closes it', async () => {
    const stage = await Stage.open();
    stage.announce();
    await stage.lose();
    await stage.connection.close('the worker is done');
    await stage.clock.pass(PATIENCE_MS);
    expect([stage.attemptsAtMs, stage.ended, stage.clock.pending]).toEqual([[], undefined, 0]);
  });
});

describe('the pause before an attempt', () => {
  it('loses up to half of its length by chance, and is never under 200 ms', () => {
    const longest = Array.from({ length: 8 }, (_, attempt) => backoffMs(attempt, () => 0));
    const shortest = Array.from({ length: 8 }, (_, attempt) => backoffMs(attempt, () => 0.999_999_999));
    expect(longest).toEqual([200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    expect(shortest.map(Math.round)).toEqual([200, 200, 400, 800, 1600, 2500, 2500, 2500]);
  });
});

describe('the first join', () => {
  it('without patience fails at once', async () => {
    await expect(new Stage().connect()).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  it('waits for a coordinator that is not there yet, and says so once', async () => {
    const stage = new Stage();
    const connecting = stage.connect(30_000);
    await stage.clock.pass(3000);
    expect(stage.events).toEqual(['awaited: UNREACHABLE']);
    expect(stage.attemptsAtMs.length).toBeGreaterThan(3);
    stage.replace({});
    await stage.clock.pass(5000);
    await connecting;
    expect(stage.connection.workerId).toBe('w1');
  });

  it('gives up with the last reason when the patience has ended', async () => {
    const stage = new Stage();
    const outcome = expect(stage.connect(3000)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await stage.clock.pass(4000);
    await outcome;
    expect(stage.attemptsAtMs.at(-1)).toBe(3000);
  });

  it.each([
    [-1, /the coordinator is the older/],
    [1, /this worker is the older/],
  ])(
    'ends at once where the coordinator is of another version (%i), and says which side is older',
    async (by, older) => {
      const stage = new Stage();
      stage.replace({ protocolVersion: PROTOCOL_VERSION + by });
      await expect(stage.connect(30_000)).rejects.toMatchObject({
        code: 'PROTOCOL_VERSION',
        exitCode: 5,
        message: expect.stringContaining(`speaks protocol ${PROTOCOL_VERSION + by}, this worker ${PROTOCOL_VERSION}`),
        hint: expect.stringMatching(older),
      });
    },
  );

  it('does not wait where it is refused', async () => {
    const stage = new Stage();
    stage.replace({ token: 'another' });
    await expect(stage.connect(30_000)).rejects.toMatchObject({ code: 'TOKEN_WRONG' });
    expect(stage.attemptsAtMs).toHaveLength(1);
  });
});

describe('a log of reports', () => {
  const rest = (log: ReportLog): string[] => {
    const taken: string[] = [];
    for (let report = log.take(); report; report = log.take()) taken.push(`${report.type} ${report.step}`);
    return taken;
  };

  it('hands over every report once, and again from where it is rewound to', () => {
    const log = new ReportLog();
    for (let step = 1; step <= 3; step++) log.add(stepReport(step));
    expect(rest(log)).toEqual(['step-report 1', 'step-report 2', 'step-report 3']);
    log.rewind(1);
    log.add(finished(3));
    expect(rest(log)).toEqual(['step-report 2', 'step-report 3', 'finished 3']);
    log.rewind(99);
    expect(rest(log)).toEqual(['finished 3']);
  });

  it('repeats the evaluation of a settled step, which may not have arrived with it', () => {
    const log = new ReportLog();
    for (const report of [stepReport(4), evaluationReport(4), stepReport(5)]) log.add(report);
    log.rewind(4);
    expect(rest(log)).toEqual(['evaluation-report 4', 'step-report 5']);
  });

  it('forgets what is on the disk of the coordinator, and nothing else', () => {
    const log = new ReportLog();
    for (const report of [stepReport(3), stepReport(4), evaluationReport(4), stepReport(5)]) log.add(report);
    log.forget(4);
    expect(log.size).toBe(4); // none has been handed over
    expect(rest(log)).toHaveLength(4);
    log.forget(4);
    expect(log.size).toBe(2);
    log.add(stepReport(6));
    expect(rest(log)).toEqual(['step-report 6']);
    log.rewind(4);
    expect(rest(log)).toEqual(['evaluation-report 4', 'step-report 5', 'step-report 6']);
    log.forget(6);
    expect(log.size).toBe(0);
  });

  it('forgets the oldest beyond its limit, and goes on handing over each once', () => {
    const log = new ReportLog(10);
    for (let step = 1; step <= 25; step++) {
      log.add(stepReport(step));
      expect(log.take()?.step).toBe(step);
      expect(log.size).toBeLessThan(20);
    }
    log.rewind(0);
    expect(rest(log).at(-1)).toBe('step-report 25');
    expect(log.size).toBeGreaterThanOrEqual(10);
  });
});
