/**
 * Checkpointer: holds the newest state that the coordinator knows, gets newer ones from workers, verifies and saves them.
 * A worker answers with the state of the last step that it completed, so what comes may be newer than what was asked for.
 */
import { type Clock, CoordError, isCoordError, type TrainingState } from '@coord/protocol';
import { type HashedState, type StateShape, shapeOf } from './state-transfer.js';
import type { WorkerSession } from './worker-session.js';

export interface SavedCheckpoint {
  readonly step: number;
  readonly weightsSha256: string;
  readonly path: string;
}

export interface CheckpointerOptions {
  readonly clock: Clock;
  readonly uploadTimeoutMs: number;
  /** Members of the view in force, lowest rank first. */
  sources(): readonly WorkerSession[];
  /** The weights hash that all workers agreed on for this step, once they have; undefined when they never will. */
  settledHash(step: number): Promise<string | undefined>;
  /** Writes it to the disk and returns its path. */
  save(state: TrainingState): Promise<string>;
  /** A worker's weights are not those that all agreed on; the replicas see to its repair. */
  diverged(session: WorkerSession, step: number, weightsSha256: string, agreedSha256: string): void;
  /** A worker's state breaks a rule, or does not come. */
  distrust(session: WorkerSession, error: CoordError): void;
  onSaved(saved: SavedCheckpoint): void;
}

export class Checkpointer {
  private saved: SavedCheckpoint | undefined;
  private busy: Promise<unknown> = Promise.resolve();
  readonly shape: StateShape;

  constructor(
    private held: HashedState,
    private readonly options: CheckpointerOptions,
  ) {
    this.shape = shapeOf(held.state);
  }

  /** The newest state that this process holds: what a worker gets when no peer is ahead. */
  get newest(): HashedState {
    return this.held;
  }

  get lastSaved(): SavedCheckpoint | undefined {
    return this.saved;
  }

  /**
   * A checkpoint of `step` or a later step; asks one worker after the other until one delivers.
   *
   * @throws CoordError STATE_UNAVAILABLE when none does, CHECKPOINT_WRITE_FAILED.
   */
  take(step: number): Promise<SavedCheckpoint> {
    const taken = this.busy.then(() => this.takeNow(step));
    this.busy = taken.catch(() => {});
    return taken;
  }

  private async takeNow(step: number): Promise<SavedCheckpoint> {
    if (this.saved && this.saved.step >= step) return this.saved;
    if (this.held.header.step < step) this.held = await this.fetchFromAnybody(step);
    const { header, state } = this.held;
    const path = await this.options.save(state);
    this.saved = { step: header.step, weightsSha256: header.weightsSha256, path };
    this.options.onSaved(this.saved);
    return this.saved;
  }

  private async fetchFromAnybody(step: number): Promise<HashedState> {
    const asked = new Set<WorkerSession>();
    for (;;) {
      const session = this.options.sources().find((candidate) => !asked.has(candidate));
      if (!session) throw unavailable(step, asked.size);
      asked.add(session);
      const fetched = await this.fetchFrom(session, step).catch(() => undefined);
      if (fetched) return fetched;
    }
  }

  private async fetchFrom(session: WorkerSession, step: number): Promise<HashedState | undefined> {
    const { clock, uploadTimeoutMs } = this.options;
    const cancel = clock.after(uploadTimeoutMs, () => {
      this.distrust(session, late(session, uploadTimeoutMs));
    });
    // As of now: while its state is on the way, the worker goes on and reports further steps.
    const { heldStep, retreats } = session;
    const fetched = await this.requestState(session).finally(cancel);
    const { step: fetchedStep } = fetched.header;
    // Unless all have gone back meanwhile, because nobody could say whose state is right.
    if (fetchedStep < heldStep && session.retreats === retreats)
      throw this.distrust(session, older(session, fetchedStep, heldStep));
    // A newcomer that has not copied its peers' state yet: nothing wrong, but no use.
    if (fetched.header.step < step) return undefined;
    return (await this.isVerified(session, fetched)) ? fetched : undefined;
  }

  private async requestState(session: WorkerSession): Promise<HashedState> {
    try {
      return await session.requestState();
    } catch (error) {
      throw isCoordError(error, 'MESSAGE_INVALID') ? this.distrust(session, error) : error;
    }
  }

  /** The step may be newer than any that all agreed on; without its worker the others may never come to it. */
  private settledHash(session: WorkerSession, step: number): Promise<string | undefined> {
    const gone = session.gone.then((error) => Promise.reject(error));
    return Promise.race([this.options.settledHash(step), gone]);
  }

  /** @returns false when nobody is left who could confirm it. @throws CoordError REPLICA_DIVERGED */
  private async isVerified(session: WorkerSession, { header }: HashedState): Promise<boolean> {
    const isHeld = header.step === this.held.header.step;
    const agreed = isHeld ? this.held.header.weightsSha256 : await this.settledHash(session, header.step);
    if (agreed === undefined || header.weightsSha256 === agreed) return agreed !== undefined;
    this.options.diverged(session, header.step, header.weightsSha256, agreed);
    throw diverged(session, header.step, header.weightsSha256, agreed);
  }

  private distrust(session: WorkerSession, error: CoordError): CoordError {
    this.options.distrust(session, error);
    return error;
  }
}

function unavailable(step: number, asked: number): CoordError {
  return new CoordError('STATE_UNAVAILABLE', `no worker delivered the state of step ${step} (${asked} were asked)`, {
    facts: { step, asked },
  });
}

function older({ label, workerId }: WorkerSession, step: number, heldStep: number): CoordError {
  return new CoordError(
    'MESSAGE_INVALID',
    `${label} delivered the state of step ${step} after it had reported step ${heldStep}`,
    {
      facts: { workerId, step, heldStep },
    },
  );
}

function late(session: WorkerSession, timeoutMs: number): CoordError {
  return new CoordError('LINK_TIMEOUT', `${session.label} did not deliver its state within ${timeoutMs} ms`, {
    facts: { workerId: session.workerId, timeoutMs },
  });
}

function diverged(session: WorkerSession, step: number, given: string, agreed: string): CoordError {
  return new CoordError(
    'REPLICA_DIVERGED',
    `${session.label} holds other weights than all agreed on for step ${step}: ${given.slice(0, 12)}… instead of ${agreed.slice(0, 12)}…`,
    { facts: { workerId: session.workerId, step, weightsSha256: given, agreedSha256: agreed } },
  );
}
