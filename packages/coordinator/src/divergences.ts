/**
 * Divergences: replicas that were found to differ, by their reports, by each other, or by a state that they delivered. They
 * repair each other (the worker's part); here they are named, counted and put on record. One incident is a strike, however
 * often it is told; the second one ends the worker's part in the run.
 */
import { CoordError, type WorkerMessageOf } from '@coord/protocol';
import type { Chronicle } from './chronicle.js';
import type { RunPast } from './past.js';
import type { WorkerSession } from './worker-session.js';

type Diverged = WorkerMessageOf<'diverged'>;

const MAX_STRIKES = 2;

export interface DivergenceActions {
  sessionOf(workerId: string): WorkerSession | undefined;
  settledHash(step: number): string | undefined;
  expel(session: WorkerSession, error: CoordError): void;
  /** Puts aside what the worker's state had otherwise; never rejects. */
  keepEvidence(evidence: Evidence): Promise<void>;
}

export interface Evidence extends Pick<Diverged, 'step' | 'generation' | 'agreedSha256' | 'differences'> {
  readonly worker: {
    readonly workerId: string;
    readonly name: string;
    readonly hostName: string;
    readonly pid: number;
  };
  readonly weightsSha256: string;
  /** False: the weights had changed in memory; true: the update itself came out otherwise. */
  readonly isIntact: boolean;
}

export class Divergences {
  /** Steps of the incidents by worker. */
  private readonly strikes = new Map<string, Set<number>>();
  /** Undecided steps: what each worker held. */
  private readonly disputes = new Map<number, ReadonlyMap<string, string>>();

  constructor(
    private readonly chronicle: Chronicle,
    private readonly actions: DivergenceActions,
    /** Of an earlier start. */
    past: RunPast['strikes'],
  ) {
    for (const [workerId, steps] of past) this.strikes.set(workerId, new Set(steps));
  }

  /** It lost its coordinator, and is here again under another id: the same machine, with the same memory. */
  cameBack(workerId: string, formerId: string): void {
    const steps = this.strikes.get(formerId);
    if (!steps) return;
    this.strikes.delete(formerId);
    this.strikes.set(workerId, steps);
  }

  /** The worker came to something else than `agreedSha256` in this step. */
  strike(session: WorkerSession, step: number, weightsSha256: string, agreedSha256: string): void {
    const steps = this.strikes.get(session.workerId) ?? new Set();
    if (steps.has(step)) return;
    this.strikes.set(session.workerId, steps.add(step));
    this.chronicle.diverged(session, step, weightsSha256, agreedSha256);
    if (steps.size < MAX_STRIKES) return;
    this.actions.expel(session, divergedError(session, [...steps], weightsSha256, agreedSha256));
  }

  /** Workers tell that they differed: a majority has repaired the others, or all of them go back. */
  hear(session: WorkerSession, message: Diverged): void {
    const { step, agreedSha256 } = message;
    if (agreedSha256 === undefined) {
      this.dispute(message);
      return;
    }
    for (const { workerId, weightsSha256 } of message.dissenters) {
      const odd = this.actions.sessionOf(workerId);
      if (odd) this.strike(odd, step, weightsSha256, agreedSha256);
    }
    const own = message.dissenters.find(({ workerId }) => workerId === session.workerId);
    if (own) this.repaired(session, message, own);
  }

  /** A step has its result: whoever held another one while nobody could say who is right is named now. */
  settled(step: number, agreedSha256: string): void {
    const claims = this.disputes.get(step);
    this.disputes.delete(step);
    for (const [workerId, weightsSha256] of claims ?? []) {
      const session = this.actions.sessionOf(workerId);
      if (session && weightsSha256 !== agreedSha256) this.strike(session, step, weightsSha256, agreedSha256);
    }
  }

  private dispute({ step, dissenters, startsFrom }: Diverged): void {
    if (this.disputes.has(step)) return;
    this.disputes.set(step, new Map(dissenters.map(({ workerId, weightsSha256 }) => [workerId, weightsSha256])));
    this.chronicle.split(step, dissenters, startsFrom ?? 0);
    const known = this.actions.settledHash(step);
    if (known !== undefined) this.settled(step, known);
  }

  private repaired(session: WorkerSession, message: Diverged, own: Diverged['dissenters'][number]): void {
    const { step, generation, agreedSha256, differences } = message;
    const { weightsSha256, isIntact } = own;
    const { name, hostName, pid } = session.hello;
    const worker = { workerId: session.workerId, name, hostName, pid };
    const evidence = { worker, step, generation, weightsSha256, agreedSha256, isIntact, differences };
    // Who hears of the repair finds the evidence.
    const tell = () => this.chronicle.repaired(session, step, isIntact, differences);
    void this.actions.keepEvidence(evidence).then(tell);
  }
}

function divergedError(
  session: WorkerSession,
  steps: readonly number[],
  weightsSha256: string,
  agreedSha256: string,
): CoordError {
  return new CoordError(
    'REPLICA_DIVERGED',
    `${session.label} came to other weights or metrics than the majority, at steps ${steps.join(' and ')}`,
    {
      facts: { workerId: session.workerId, steps: steps.join(', '), weightsSha256, agreedSha256 },
      hint: 'Check that machine: memory faults and mismatched builds are the usual causes. The other workers go on.',
    },
  );
}
