/**
 * The control plane in one process: the real door, conductor and rules; in-memory links with latency; a virtual clock; and
 * simulated workers that keep the protocol and have no engine: a step's weights are a function of its number. Nothing
 * depends on real time, so a schedule of faults plays the same way every time.
 */
import {
  type Clock,
  coordinatorMessageSchema,
  createToken,
  decodeMessage,
  encodeMessage,
  type Hello,
  headerOf,
  joinProof,
  PROTOCOL_VERSION,
  type RunSpec,
  stateSections,
  type View,
  type WorkerMessage,
} from '@coord/protocol';
import { createLinkPair, type MemoryLink } from '@coord/transport';
import { pino } from 'pino';
import { TokenBook } from '../src/access/token-book.js';
import { Chronicle } from '../src/chronicle.js';
import { Conductor } from '../src/conductor.js';
import { createDoor } from '../src/door.js';
import type { CoordinatorEvent, RunResult } from '../src/events.js';
import type { Ledger } from '../src/ledger.js';
import type { LedgerEntry } from '../src/ledger-entries.js';
import { DEFAULT_TIMINGS } from '../src/options.js';
import { emptyPast } from '../src/past.js';
import { totalStepsOf } from '../src/schedule.js';
import { FakeClock } from './fake-clock.js';
import { hashAt, stateAt, stepReport } from './fixtures.js';

export type Fault =
  /** The connection and the process are gone. */
  | { readonly kind: 'kill'; readonly worker: number }
  /** The process stands still; its connection stays. */
  | { readonly kind: 'hang'; readonly worker: number; readonly forMs: number }
  | { readonly kind: 'leave'; readonly worker: number }
  | { readonly kind: 'join' }
  /** The user's Ctrl-C. */
  | { readonly kind: 'stop' }
  /** The ring breaks in the middle of a step: only the first `completed` members get its result. */
  | { readonly kind: 'break'; readonly completed: number };

export interface TimedFault {
  readonly afterMs: number;
  readonly fault: Fault;
}

const TURN_MS = 5;
const STEP_MS = 20;
/** How long a worker takes to notice that its ring neighbour is gone. */
const NOTICE_MS = 50;
const HEARTBEAT_MS = 500;
const MAX_TURNS = 50_000;

/** All that was ready to run has run: memory links need nothing but microtasks. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Obeys the ledger's contract, on a disk that never fails. */
export class MemoryLedger implements Ledger {
  readonly path = 'memory';
  readonly past = [];
  readonly tornBytes = 0;
  readonly recordedStep = 0;
  readonly entries: LedgerEntry[] = [];

  append(entry: LedgerEntry): void {
    this.entries.push(entry);
  }
  async flush(): Promise<void> {}
  async close(): Promise<void> {}
}

interface ControlPlaneOptions {
  readonly run: RunSpec;
  readonly minWorkers: number;
  readonly clock: Clock;
  readonly token: string;
  readonly ledger: Ledger;
  readonly onEvent?: (event: CoordinatorEvent) => void;
}

/** The real door and conductor, on a disk in memory. */
export function openControlPlane({ run, minWorkers, clock, token, ledger, onEvent = () => {} }: ControlPlaneOptions) {
  const chronicle = new Chronicle(pino({ level: 'silent' }), ledger, onEvent);
  const tokens = TokenBook.of(token);
  const state = stateAt(0);
  const conductor = new Conductor({
    run,
    tokens,
    runDir: 'memory',
    minWorkers,
    initialState: state,
    initial: { header: headerOf(state), state },
    readBlock: () => undefined,
    clock,
    timings: DEFAULT_TIMINGS,
    retention: { keepLast: 1 },
    past: emptyPast(),
    ledger,
    chronicle,
    save: async (saved) => `memory/step-${saved.step}`,
    keepEvidence: async () => {},
  });
  const { handshakeTimeoutMs } = DEFAULT_TIMINGS;
  return { conductor, door: createDoor({ tokens, clock, handshakeTimeoutMs, conductor, chronicle }) };
}

export function helloTo(serverNonce: string, token: string, name: string): Hello {
  const clientNonce = 'a-nonce-of-this-worker';
  const proof = joinProof(token, 'worker', { serverNonce, clientNonce });
  const identity = { clientNonce, name, hostName: 'simulated', pid: 1 };
  return { type: 'hello', protocolVersion: PROTOCOL_VERSION, proof, ...identity };
}

class SimulatedWorker {
  workerId = '';
  step = 0;
  view: View | undefined;
  alive = true;
  hungUntilMs = 0;
  finishedSaid = false;
  stopRequested = false;
  /** It has completed the step in which the reduction carried the flag. */
  stopped = false;
  failedGeneration = 0;
  readonly generations: number[] = [];
  private beatMs = 0;
  private readonly inbox: Uint8Array[] = [];

  constructor(
    readonly name: string,
    private readonly link: MemoryLink,
    private readonly token: string,
  ) {
    void this.read();
  }

  private async read(): Promise<void> {
    try {
      for (;;) this.inbox.push(await this.link.receive());
    } catch {
      this.inbox.push(new Uint8Array());
    }
  }

  say(message: WorkerMessage | Hello): void {
    this.link.send(encodeMessage(message)).catch(() => {});
  }

  /** What the process does in one turn, unless it stands still. */
  act(nowMs: number): void {
    if (!this.alive || nowMs < this.hungUntilMs) return;
    for (const frame of this.inbox.splice(0)) this.hear(frame);
    if (!this.alive || this.workerId === '' || nowMs < this.beatMs) return;
    this.beatMs = nowMs + HEARTBEAT_MS;
    const generation = this.view?.generation ?? 0;
    this.say({ type: 'heartbeat', step: this.step, generation, phase: this.finishedSaid ? 'finished' : 'compute' });
  }

  kill(): void {
    this.alive = false;
    this.link.cut();
  }

  leave(): void {
    this.alive = false;
    this.say({ type: 'leaving', reason: 'drained' });
  }

  private hear(frame: Uint8Array): void {
    if (frame.length === 0) {
      this.alive = false;
      return;
    }
    const message = decodeMessage(coordinatorMessageSchema, frame, { from: 'coordinator' });
    switch (message.type) {
      case 'challenge':
        this.say(helloTo(message.serverNonce, this.token, this.name));
        break;
      case 'welcome':
        this.workerId = message.workerId;
        this.say({ type: 'state-request' });
        break;
      case 'state-begin':
        this.step = message.header.step;
        break;
      case 'state-end':
        this.sayReady();
        break;
      case 'view':
        this.view = message.view;
        this.generations.push(message.view.generation);
        break;
      case 'state-request':
        this.upload();
        break;
      case 'stop':
        this.stopRequested = true;
        break;
      case 'goodbye':
      case 'expelled':
      case 'refused':
        this.alive = false;
    }
  }

  private sayReady(): void {
    const identity = { engine: 'simulated', engineVersion: '1', loweringVersion: 1, device: 'none', threads: 1 };
    const endpoint = { host: '192.0.2.1', port: 4000 };
    this.say({ type: 'ready', endpoint, identity, step: this.step, share: 1, workers: 1 });
  }

  private upload(): void {
    const state = stateAt(this.step);
    this.say({ type: 'state-begin', header: headerOf(state) });
    for (const data of stateSections(state)) this.say({ type: 'state-chunk', data });
    this.say({ type: 'state-end' });
  }

  completeStep(step: number): void {
    this.step = step;
    this.say(stepReport(step, { generation: this.view!.generation }));
  }

  sayFinished(): void {
    if (this.finishedSaid) return;
    this.finishedSaid = true;
    this.say({ type: 'finished', step: this.step, weightsSha256: hashAt(this.step), stopped: this.stopped });
  }

  reportFailure(): void {
    const generation = this.view!.generation;
    if (this.failedGeneration === generation) return;
    this.failedGeneration = generation;
    this.say({ type: 'ring-failed', generation, step: this.step, code: 'RING_BROKEN', message: 'simulated' });
  }
}

export interface SimulationResult {
  readonly result: RunResult;
  readonly entries: readonly LedgerEntry[];
  readonly events: readonly CoordinatorEvent[];
  readonly workers: readonly SimulatedWorker[];
  readonly virtualMs: number;
  /** Timers that are left when everything is over. */
  readonly leakedTimers: number;
}

export class Simulation {
  private readonly clock = new FakeClock();
  private readonly token = createToken();
  private readonly ledger = new MemoryLedger();
  private readonly events: CoordinatorEvent[] = [];
  private readonly workers: SimulatedWorker[] = [];
  private readonly conductor: Conductor;
  private readonly door: ReturnType<typeof createDoor>;
  private readonly lastStep: number;
  private nextStepMs = 0;
  private breakAfter: number | undefined;
  /** The newest view that a worker has, and since when its ring does not work. */
  private generation = 0;
  private troubleSinceMs: number | undefined;

  constructor(
    run: RunSpec,
    private readonly minWorkers: number,
  ) {
    this.lastStep = totalStepsOf(run);
    const { clock, token, ledger } = this;
    const onEvent = (event: CoordinatorEvent) => this.events.push(event);
    const plane = openControlPlane({ run, minWorkers, clock, token, ledger, onEvent });
    this.conductor = plane.conductor;
    this.door = plane.door;
  }

  join(): void {
    const name = `worker ${this.workers.length + 1}`;
    // Every link has a latency of its own, so that messages of different workers overtake each other.
    const latencyMs = 1 + ((this.workers.length * 7) % 19);
    const [ours, theirs] = createLinkPair({ latencyMs, clock: this.clock, names: ['coordinator', name] });
    this.workers.push(new SimulatedWorker(name, theirs, this.token));
    void this.door(ours);
  }

  /** Somebody who sends whatever bytes a test likes, as a stranger or as a worker that was let in. */
  async intrude(frames: readonly Uint8Array[], knowsToken: boolean): Promise<void> {
    const [ours, theirs] = createLinkPair({ names: ['coordinator', 'intruder'] });
    void this.door(ours);
    const challenge = decodeMessage(coordinatorMessageSchema, await theirs.receive(), { from: 'coordinator' });
    if (challenge.type !== 'challenge') throw new Error('the door did not ask');
    if (knowsToken) await theirs.send(encodeMessage(helloTo(challenge.serverNonce, this.token, 'intruder')));
    for (const frame of frames) theirs.send(frame).catch(() => {});
    await turn();
    theirs.cut();
  }

  /** Plays the schedule to the end of the run. @throws when the run makes no progress. */
  async play(schedule: readonly TimedFault[]): Promise<SimulationResult> {
    const due = [...schedule];
    let dueMs = due[0]?.afterMs ?? 0;
    let result: RunResult | undefined;
    let failure: unknown;
    this.conductor.finished.then(
      (value) => {
        result = value;
      },
      (error) => {
        failure = error;
      },
    );
    for (let turns = 0; !result; turns++) {
      if (failure) throw failure;
      if (turns > MAX_TURNS) throw new Error(`no progress: step ${this.conductor.progress.book.step}`);
      while (due.length > 0 && this.clock.nowMs() >= dueMs) {
        this.inject(due.shift()!.fault);
        dueMs += due[0]?.afterMs ?? 0;
      }
      if (this.workers.filter(({ alive }) => alive).length < this.minWorkers) this.join();
      this.moveRing();
      for (const worker of this.workers) worker.act(this.clock.nowMs());
      this.clock.advance(TURN_MS);
      await turn();
    }
    const virtualMs = this.clock.nowMs();
    await this.end();
    const { events, workers } = this;
    return { result, entries: this.ledger.entries, events, workers, virtualMs, leakedTimers: this.clock.pending };
  }

  private async end(): Promise<void> {
    for (const worker of this.workers) worker.kill();
    await turn();
    await this.conductor.close();
    await turn();
  }

  private inject(fault: Fault): void {
    const alive = this.workers.filter((worker) => worker.alive);
    const pick = 'worker' in fault ? alive[fault.worker % Math.max(1, alive.length)] : undefined;
    if (fault.kind === 'join') this.join();
    else if (fault.kind === 'stop') this.conductor.requestStop('Ctrl-C');
    else if (fault.kind === 'break') this.breakAfter = fault.completed;
    else if (fault.kind === 'kill') pick?.kill();
    else if (fault.kind === 'leave') pick?.leave();
    else if (pick) pick.hungUntilMs = this.clock.nowMs() + fault.forMs;
  }

  /** The workers' side of a view: a step together, or the notice that the ring is broken. */
  private moveRing(): void {
    const nowMs = this.clock.nowMs();
    const awake = this.workers.filter((worker) => worker.alive && nowMs >= worker.hungUntilMs && worker.view);
    const generation = Math.max(0, ...awake.map(({ view }) => view!.generation));
    const present = awake.filter(({ view }) => view!.generation === generation);
    if (present.length === 0) return;
    if (generation !== this.generation) this.troubleSinceMs = undefined;
    this.generation = generation;
    const wanted = present[0].view!.members.length;
    const works = present.length === wanted && present.every((worker) => worker.failedGeneration !== generation);
    if (works) this.troubleSinceMs = undefined;
    else if (this.troubleSinceMs === undefined) this.troubleSinceMs = nowMs;
    else if (nowMs - this.troubleSinceMs >= NOTICE_MS) for (const worker of present) worker.reportFailure();
    if (works && nowMs >= this.nextStepMs) this.step(present, nowMs);
  }

  private step(members: readonly SimulatedWorker[], nowMs: number): void {
    this.nextStepMs = nowMs + STEP_MS;
    const highest = Math.max(...members.map(({ step }) => step));
    const stopped = members.some((member) => member.stopped && member.step === highest);
    // Who is behind copies the state of who is ahead.
    for (const member of members) {
      member.step = highest;
      member.stopped = stopped;
    }
    if (stopped || highest === this.lastStep) for (const member of members) member.sayFinished();
    else this.complete(members, highest + 1);
  }

  private complete(members: readonly SimulatedWorker[], step: number): void {
    const stops = step < this.lastStep && members.some(({ stopRequested }) => stopRequested);
    const completed = this.breakAfter === undefined ? members.length : this.breakAfter % members.length;
    for (const member of members.slice(0, completed)) {
      member.completeStep(step);
      member.stopped = stops;
    }
    if (completed < members.length) for (const member of members) member.reportFailure();
    this.breakAfter = undefined;
  }
}
