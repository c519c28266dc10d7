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
/** Accusations and disputes that are remembered: incidents are few, and nobody shall fill the memory with them. */
const MAX_KEPT = 256;

export interface DivergenceActions {
  sessionOf(workerId: string): WorkerSession | undefined;
  /** Workers of the view in force. */
  memberCount(): number;
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
  /** Undecided steps: what each worker says that it held. */
  private readonly disputes = new Map<number, Map<string, string>>();
  /** By step and accused. */
  private readonly accusers = new Map<string, Set<string>>();

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
      this.dispute(session, message);
      return;
    }
    for (const { workerId, weightsSha256 } of message.dissenters) {
      const odd = this.actions.sessionOf(workerId);
      if (odd && this.isProven(session, step, workerId)) this.strike(odd, step, weightsSha256, agreedSha256);
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

  /** Its own word, or that of most members: who is wrong, or lies, must not cost another its place. */
  private isProven({ workerId: speaker }: WorkerSession, step: number, accused: string): boolean {
    if (speaker === accused) return true;
    const accusers = keep(this.accusers, `${step} ${accused}`, new Set<string>()).add(speaker);
    return accusers.size * 2 > this.actions.memberCount();
  }

  /** Everybody who goes back says so, and counts for itself alone. */
  private dispute(session: WorkerSession, { step, dissenters, startsFrom }: Diverged): void {
    const { workerId } = session;
    if (!this.disputes.has(step)) this.chronicle.split(step, dissenters, startsFrom ?? 0);
    const claims = keep(this.disputes, step, new Map<string, string>());
    const own = dissenters.find((dissenter) => dissenter.workerId === workerId)?.weightsSha256;
    if (own === undefined) return;
    claims.set(workerId, own);
    const known = this.actions.settledHash(step);
    if (known !== undefined && own !== known) this.strike(session, step, own, known);
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

/** @returns what the map has for the key, or else `fresh`, which it has then; the oldest are forgotten. */
function keep<K, V>(map: Map<K, V>, key: K, fresh: V): V {
  const kept = map.get(key) ?? fresh;
  map.set(key, kept);
  const [oldest] = map.keys();
  if (map.size > MAX_KEPT) map.delete(oldest);
  return kept;
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
