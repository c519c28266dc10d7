/**
 * The standing connection to the coordinator. It survives the coordinator: when the link is lost, training goes on under the
 * view in force, and this tries again with growing pauses until the patience ends. Back in (under a new worker id, in the
 * same run), the worker says where it stands and repeats the reports that the coordinator has not settled.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  CoordError,
  type CoordinatorMessageOf,
  type RunSpec,
  type View,
  type WorkerMessage,
  type WorkerMessageOf,
} from '@coord/protocol';
import type { Logger } from 'pino';
import { backoffMs } from './backoff.js';
import { type CoordinatorSession, isCoordinatorLost, type Welcome } from './coordinator-session.js';
import { isNotThereYet, type JoinOptions, joinOnce, joinPatiently } from './join-attempts.js';
import { type Report, ReportLog } from './report-log.js';

export interface ConnectionOptions extends JoinOptions {
  /** How long a lost coordinator is waited for. */
  readonly patienceMs: number;
  readonly logger: Logger;
}

export interface ConnectionHandlers {
  onEcho(echo: CoordinatorMessageOf<'heartbeat-echo'>): void;
  onView(view: View): void;
  onStateRequest(session: CoordinatorSession): void;
  onDrain(reason: string): void;
  onStop(reason: string): void;
  onGoodbye(): void;
  /** The coordinator is gone for now. */
  onLost(): void;
  /** Back in, under this id; `ready` has not been said yet. */
  onReturned(workerId: string): void;
  /** Nothing more will come: the coordinator refuses this worker, or the patience has ended. */
  onEnded(error: CoordError): void;
}

type Ready = WorkerMessageOf<'ready'>;

interface Waiter {
  resolve(session: CoordinatorSession): void;
  reject(error: CoordError): void;
}

export class CoordinatorConnection {
  readonly #reports = new ReportLog();
  #session: CoordinatorSession | undefined;
  #pumping: CoordinatorSession | undefined;
  #handlers: ConnectionHandlers | undefined;
  #ready: (() => Ready) | undefined;
  #waiters: Waiter[] = [];
  #ended: CoordError | undefined;
  #closing = false;
  #wakeUp: () => void = () => {};
  #workerId: string;
  #returnKey: string | undefined;
  #generation = 0;

  private constructor(
    private readonly options: ConnectionOptions,
    session: CoordinatorSession,
    /** Of the first join: the run does not change. */
    readonly welcome: Welcome,
    /** Address of this end at the first join. */
    readonly localAddress: string,
  ) {
    this.#session = session;
    this.#workerId = welcome.workerId;
    this.#returnKey = welcome.returnKey;
  }

  /** @throws CoordError UNREACHABLE and the like when nobody is there in time, and what CoordinatorSession.join throws. */
  static async open(options: ConnectionOptions): Promise<CoordinatorConnection> {
    const { session, localAddress } = await joinPatiently(options);
    return new CoordinatorConnection(options, session, session.welcome, localAddress);
  }

  /** What the coordinator calls this worker; another name after every return. */
  get workerId(): string {
    return this.#workerId;
  }

  /** Starts to hear messages; call once. */
  listen(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    if (this.#session) this.#hear(this.#session);
  }

  /** Says `ready` now, and again with the step of the moment after every return. */
  announce(ready: () => Ready): void {
    this.#ready = ready;
    if (!this.#session) return;
    void this.#session.send(ready());
    void this.#pump(this.#session);
  }

  /** Kept until a coordinator has it. */
  report(report: Report): void {
    this.#reports.add(report);
    if (this.#session && this.#ready) void this.#pump(this.#session);
  }

  /** For what means nothing to a later coordinator: dropped while there is none. */
  async say(message: WorkerMessage): Promise<void> {
    await this.#session?.send(message);
  }

  /**
   * Asks the coordinator for something; when it is lost before it has answered, asks its successor.
   *
   * @throws CoordError COORDINATOR_LOST when none comes, and whatever `ask` throws.
   */
  async ask<T>(ask: (session: CoordinatorSession) => Promise<T>): Promise<T> {
    for (;;) {
      const session = await this.#connected();
      try {
        return await ask(session);
      } catch (error) {
        if (!isCoordinatorLost(error)) throw error;
      }
    }
  }

  async close(reason: string): Promise<void> {
    this.#closing = true;
    this.#wakeUp();
    this.#settleWaiters((waiter) => waiter.reject(lost(0)));
    await this.#session?.close(reason);
  }

  #connected(): Promise<CoordinatorSession> {
    if (this.#session) return Promise.resolve(this.#session);
    if (this.#ended) return Promise.reject(this.#ended);
    // Nobody comes after a goodbye.
    if (this.#closing) return Promise.reject(runOver());
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  #settleWaiters(settle: (waiter: Waiter) => void): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    waiters.forEach(settle);
  }

  #hear(session: CoordinatorSession): void {
    const handlers = this.#handlers!;
    session.listen({
      onEcho: (echo) => {
        if (echo.recordedStep !== undefined) this.#reports.forget(echo.recordedStep);
        handlers.onEcho(echo);
      },
      onView: (view) => {
        this.#generation = Math.max(this.#generation, view.generation);
        handlers.onView(view);
      },
      onStateRequest: (from) => handlers.onStateRequest(from),
      onDrain: (reason) => handlers.onDrain(reason),
      onStop: (reason) => handlers.onStop(reason),
      onGoodbye: () => {
        this.#closing = true;
        this.#settleWaiters((waiter) => waiter.reject(runOver()));
        handlers.onGoodbye();
      },
      onClosed: (error) => this.#onClosed(error),
    });
  }

  #onClosed(error: CoordError): void {
    this.#session = undefined;
    if (this.#closing) return;
    if (!isCoordinatorLost(error)) {
      this.#end(error);
      return;
    }
    const { logger, patienceMs } = this.options;
    logger.warn({ generation: this.#generation, patienceMs }, 'the coordinator is lost; training goes on without it');
    this.#handlers?.onLost();
    this.#return().catch((cause) => this.#end(cause));
  }

  /** Tries until it is back in, or the patience ends. @throws CoordError of a join that is refused. */
  async #return(): Promise<void> {
    const { clock, random, patienceMs } = this.options;
    const deadlineMs = clock.nowMs() + patienceMs;
    for (let attempt = 0; clock.nowMs() < deadlineMs; attempt++) {
      const leftMs = deadlineMs - clock.nowMs();
      await this.#pause(Math.min(leftMs, backoffMs(attempt, random)));
      if (this.#closing) return;
      const session = await this.#tryToJoin();
      if (session) return this.#resume(session);
    }
    throw lost(patienceMs);
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.options.clock.after(delayMs, resolve);
      this.#wakeUp = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Undefined when the coordinator is still not there. */
  async #tryToJoin(): Promise<CoordinatorSession | undefined> {
    const { identity, logger } = this.options;
    const { run } = this.welcome;
    // Who has not been ready yet has nothing to come back to.
    const self = { runId: run.runId, workerId: this.#workerId, key: this.#returnKey };
    const returns = this.#ready && { ...self, generation: this.#generation };
    try {
      const { session } = await joinOnce({ ...this.options, identity: { ...identity, returns } });
      await requireSameRun(session, this.welcome);
      return session;
    } catch (error) {
      if (!isNotThereYet(error)) throw error;
      logger.debug({ code: error.code }, error.message);
      return undefined;
    }
  }

  #resume(session: CoordinatorSession): void {
    if (this.#closing) return void session.close('the worker is done');
    const { workerId, settledStep } = session.welcome;
    this.options.logger.info({ before: this.#workerId, workerId, settledStep }, 'back with the coordinator');
    this.#workerId = workerId;
    this.#returnKey = session.welcome.returnKey;
    this.#session = session;
    this.#handlers?.onReturned(workerId);
    this.#hear(session);
    this.#reports.rewind(settledStep);
    if (this.#ready) this.announce(this.#ready);
    this.#settleWaiters((waiter) => waiter.resolve(session));
  }

  #end(error: CoordError): void {
    if (this.#closing || this.#ended) return;
    this.#ended = error;
    this.#settleWaiters((waiter) => waiter.reject(error));
    this.#handlers?.onEnded(error);
  }

  /** One report after the other, so that a long history waits here and not in the link's memory. */
  async #pump(session: CoordinatorSession): Promise<void> {
    if (this.#pumping === session) return;
    this.#pumping = session;
    while (this.#session === session) {
      const report = this.#reports.take();
      if (!report) break;
      await session.send(report);
    }
    if (this.#pumping === session) this.#pumping = undefined;
  }
}

/** @throws CoordError JOIN_REFUSED: another run's coordinator listens there now. */
async function requireSameRun(session: CoordinatorSession, { run }: Welcome): Promise<void> {
  const now = session.welcome.run;
  if (isDeepStrictEqual(now, run)) return;
  const error = now.runId === run.runId ? otherSettings(now, run) : otherRun(now, run);
  await session.close(error.message);
  throw error;
}

const otherRun = (now: RunSpec, run: RunSpec): CoordError =>
  new CoordError(
    'JOIN_REFUSED',
    `the coordinator came back with another run: ${now.runId}, while this worker trains ${run.runId}`,
    {
      hint: 'Start the worker again to take part in the new run.',
      facts: { runId: run.runId, newRunId: now.runId },
    },
  );

/** What does not decide the weights, as how long the run goes, must be the same for all members too. */
function otherSettings(now: RunSpec, run: RunSpec): CoordError {
  const keys = [...new Set([...Object.keys(run), ...Object.keys(now)])] as (keyof RunSpec)[];
  const changed = keys.filter((key) => !isDeepStrictEqual(now[key], run[key])).join(', ');
  return new CoordError(
    'JOIN_REFUSED',
    `the coordinator came back with other settings than this worker's: ${changed}`,
    {
      hint: 'Start the worker again to take part with the new ones.',
      facts: { runId: run.runId, changed },
    },
  );
}

const runOver = (): CoordError => new CoordError('JOIN_REFUSED', 'the run ended before this worker could take part');

const lost = (patienceMs: number): CoordError =>
  new CoordError('COORDINATOR_LOST', `the coordinator has been gone for ${Math.round(patienceMs / 1000)} s`, {
    hint: 'Start it again with `coord start --resume RUN`, then this worker; a longer --patience waits longer.',
    facts: { patienceMs },
  });
