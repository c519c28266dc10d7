/** The past of a run: what an earlier start left in its ledger, so that numbers go on growing and results can be compared. */
import { CoordError, type RunSpec } from '@coord/protocol';
import { HashLog } from './hash-log.js';
import type { LedgerEntry, LedgerRecord } from './ledger-entries.js';

export interface RunPast {
  /** Highest generation used. */
  readonly generation: number;
  /** Workers that have ever joined: the number of the last worker id. */
  readonly joined: number;
  /** Results of the steps that were settled; those after the checkpoint will be computed again. */
  readonly settled: HashLog;
}

/** @throws CoordError CHECKPOINT_MISMATCH when the ledger is that of another configuration. */
export function readPast(file: string, records: readonly LedgerRecord[], run: RunSpec): RunPast {
  const past = { generation: 0, joined: 0, settled: new HashLog() };
  for (const { entry } of records) absorb(past, entry, file, run);
  return past;
}

interface Draft {
  generation: number;
  joined: number;
  readonly settled: HashLog;
}

function absorb(past: Draft, entry: LedgerEntry, file: string, run: RunSpec): void {
  if (entry.type === 'run-started' && entry.configSha256 !== run.configSha256) throw otherRun(file, entry.configSha256);
  if (entry.type === 'view') past.generation = Math.max(past.generation, entry.generation);
  if (entry.type === 'worker-joined') past.joined++;
  if (entry.type === 'step') past.settled.set(entry.step, entry.weightsSha256);
}

function otherRun(file: string, configSha256: string): CoordError {
  return new CoordError('CHECKPOINT_MISMATCH', `the ledger ${file} belongs to a run of another configuration`, {
    facts: { file, configSha256 },
    hint: 'Choose another --run-dir, or resume that run with the configuration that it was started with.',
  });
}
