/** How a worker comes: it gets an id and a place, is told of the run, and is heard until it is gone. */
import { CoordError, type Hello, LIMITS } from '@coord/protocol';
import type { Link } from '@coord/transport';
import type { Chronicle } from './chronicle.js';
import type { Departures } from './departures.js';
import type { Divergences } from './divergences.js';
import type { Admission } from './handshake.js';
import type { CoordinatorOptions, Timings } from './options.js';
import type { Roster } from './roster.js';
import { endingError, fullError } from './run-errors.js';
import type { RunStage } from './run-stage.js';
import type { WorkerMessages } from './worker-messages.js';
import { WorkerSession } from './worker-session.js';

export interface ReceptionParts {
  readonly options: Pick<CoordinatorOptions, 'run' | 'tokens'> & { readonly timings: Timings };
  readonly stage: RunStage;
  readonly roster: Roster;
  readonly chronicle: Chronicle;
  readonly messages: WorkerMessages;
  readonly divergences: Divergences;
  readonly departures: Departures;
  /** Steps up to this one stand in the ledger. */
  settledStep(): number;
}

export class Reception {
  constructor(private readonly parts: ReceptionParts) {}

  /**
   * Why a worker cannot join now; undefined when it can. One of the run that comes back while this ends is sent home with the others; and
   * if the end does not come about, it is there.
   */
  refusalOf({ hello }: Admission): CoordError | undefined {
    const { stage, options, roster } = this.parts;
    const { phase } = stage;
    const { runId } = options.run;
    const goesOn = phase === 'waiting' || phase === 'training';
    const comesBack = hello.returns?.runId === runId && phase !== 'ended';
    if (!goesOn && !comesBack) return endingError(runId, phase);
    return roster.size < LIMITS.members ? undefined : fullError();
  }

  /** Takes a worker that has proved that it knows the token; resolves when it is gone. */
  async serve(link: Link, admission: Admission): Promise<void> {
    const { stage, roster, messages, departures } = this.parts;
    const session = this.takeIn(link, admission);
    try {
      await this.welcome(session, admission);
      for (;;) {
        const message = await session.receive();
        // What an expelled worker said before it noticed means nothing any more.
        if (!roster.has(session) || stage.phase === 'ended') return;
        messages.handle(session, message);
      }
    } catch (error) {
      departures.dismiss(session, error);
    }
  }

  private takeIn(link: Link, { hello, tokenId }: Admission): WorkerSession {
    const { options, roster, chronicle, divergences } = this.parts;
    this.releasePlace(hello);
    const workerId = roster.nextWorkerId;
    const session = new WorkerSession(workerId, hello, link, options.run.runId, tokenId);
    roster.add(session);
    if (session.returns) divergences.cameBack(workerId, session.returns.workerId);
    chronicle.joined(session);
    return session;
  }

  /** A worker that lost its connection is back before the loss was noticed here: its old self goes first. */
  private releasePlace({ returns, name, hostName, pid }: Hello): void {
    const { options, roster, departures } = this.parts;
    const before = returns?.runId === options.run.runId ? roster.get(returns.workerId) : undefined;
    if (!before || before.hello.name !== name || before.hello.hostName !== hostName || before.hello.pid !== pid) return;
    departures.dismiss(before, new CoordError('LINK_CLOSED', 'its connection was lost; it has come back with another'));
  }

  private async welcome(session: WorkerSession, { proof }: Admission): Promise<void> {
    const { run, tokens, timings } = this.parts.options;
    const { heartbeatIntervalMs, ringTimeoutMs } = timings;
    const settledStep = this.parts.settledStep();
    session.settledTold = settledStep;
    const { workerId } = session;
    const about = { proof, workerId, returnKey: tokens.returnKey(workerId), run, settledStep };
    await session.send({ type: 'welcome', ...about, heartbeatIntervalMs, ringTimeoutMs });
  }
}
