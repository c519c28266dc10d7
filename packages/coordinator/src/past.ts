/** The past of a run: what an earlier start left in its ledger, so that numbers go on growing and results can be compared. */
import { CoordError, type RunSpec } from '@coord/protocol';
import type { EvaluationEvent } from './events.js';
import { HashLog } from './hash-log.js';
import type { LedgerEntry, LedgerEntryOf, LedgerRecord } from './ledger-entries.js';

/** A worker of an earlier start, whose process may still be there. */
export interface FormerWorker {
  readonly workerId: string;
  readonly name: string;
  readonly hostName: string;
  /** Undefined in ledgers of earlier versions. */
  readonly pid: number | undefined;
  /** Of the token that it joined with. What stands before is what it says about itself; this is proved. */
  readonly tokenId: string | undefined;
}

export interface RunPast {
  /** Highest generation used. */
  readonly generation: number;
  /** Workers that have ever joined: the number of the last worker id. */
  readonly joined: number;
  /** Results of the steps that were settled; those after the checkpoint will be computed again. */
  readonly settled: HashLog;
  /** The highest of them. */
  readonly lastStep: number;
  readonly lastEvaluation: EvaluationEvent | undefined;
  /** Members of the last view, when the earlier start ended without an end: they train on and may come back. */
  readonly awaited: readonly FormerWorker[];
  /** Steps at which a worker differed from the others, by its last id. */
  readonly strikes: ReadonlyMap<string, ReadonlySet<number>>;
}

export const emptyPast = (): RunPast => new PastReader().result();

/** @throws CoordError CHECKPOINT_MISMATCH when the ledger is that of another configuration. */
export function readPast(file: string, records: readonly LedgerRecord[], run: RunSpec): RunPast {
  const reader = new PastReader();
  for (const { entry } of records) {
    if (entry.type === 'run-started' && entry.configSha256 !== run.configSha256) {
      throw otherRun(file, entry.configSha256);
    }
    reader.read(entry);
  }
  return reader.result();
}

class PastReader {
  private generation = 0;
  private joined = 0;
  private lastStep = 0;
  private lastEvaluation: EvaluationEvent | undefined;
  private readonly settled = new HashLog();
  private readonly workers = new Map<string, FormerWorker>();
  private training = new Set<string>();
  private readonly strikes = new Map<string, ReadonlySet<number>>();

  read(entry: LedgerEntry): void {
    switch (entry.type) {
      case 'worker-joined':
        this.join(entry);
        break;
      case 'worker-diverged':
        this.strikes.set(entry.workerId, new Set(this.strikes.get(entry.workerId)).add(entry.step));
        break;
      case 'worker-left':
      case 'worker-lost':
        this.training.delete(entry.workerId);
        break;
      case 'view':
        this.generation = Math.max(this.generation, entry.generation);
        this.training = new Set(entry.members.map(({ workerId }) => workerId));
        break;
      case 'step':
        this.settled.set(entry.step, entry.weightsSha256);
        this.lastStep = Math.max(this.lastStep, entry.step);
        break;
      case 'evaluation':
        this.lastEvaluation = evaluationOf(entry);
        break;
      case 'failed':
      case 'finished':
        this.training.clear();
        break;
      default:
    }
  }

  result(): RunPast {
    const { generation, joined, settled, lastStep, lastEvaluation } = this;
    const awaited = [...this.training].flatMap((workerId) => this.workers.get(workerId) ?? []);
    return { generation, joined, settled, lastStep, lastEvaluation, awaited, strikes: this.strikes };
  }

  private join({ workerId, name, hostName, pid, tokenId, returns }: LedgerEntryOf<'worker-joined'>): void {
    this.joined++;
    this.workers.set(workerId, { workerId, name, hostName, pid, tokenId });
    const strikes = returns === undefined ? undefined : this.strikes.get(returns);
    if (strikes) this.strikes.set(workerId, strikes);
    // It came back, and then this coordinator died too, perhaps before it formed a view.
    if (returns !== undefined && this.training.delete(returns)) this.training.add(workerId);
  }
}

const evaluationOf = ({ step, epoch, ...values }: LedgerEntryOf<'evaluation'>): EvaluationEvent => ({
  event: 'evaluation',
  step,
  epoch,
  durationMs: 0,
  accuracy: values.accuracy,
  samples: values.samples,
  loss: values.loss ?? Number.NaN,
  metrics: values.metrics,
});

function otherRun(file: string, configSha256: string): CoordError {
  return new CoordError('CHECKPOINT_MISMATCH', `the ledger ${file} belongs to a run of another configuration`, {
    facts: { file, configSha256 },
    hint: 'Choose another --run-dir, or resume that run with the configuration that it was started with.',
  });
}
