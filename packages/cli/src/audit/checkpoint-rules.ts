/** Checkpoints on disk against the ledger: intact to the byte, of this run, and of the weights that the ledger names. */
import { checkpointsByName, findCheckpoints, loadCheckpoint } from '@coord/checkpoint';
import { isCoordError, type RunSpec, type TrainingState } from '@coord/protocol';
import { type Finding, finding } from './finding.js';
import { type LedgerSummary, short } from './ledger-rules.js';

export interface CheckpointCheck {
  /** Steps of the sound checkpoints, rising. */
  readonly steps: readonly number[];
  readonly findings: readonly Finding[];
}

export async function checkCheckpoints(runDir: string, spec: RunSpec, ledger: LedgerSummary): Promise<CheckpointCheck> {
  const steps: number[] = [];
  const findings: Finding[] = [];
  for (const { path, step } of await checkpointsByName(runDir)) {
    const problem = await examine(path, spec, ledger);
    if (problem) findings.push(finding('checkpoint', ledger.lines.get(step), problem));
    else steps.push(step);
  }
  return { steps, findings };
}

async function examine(
  path: string,
  spec: RunSpec,
  { hashes, unreported }: LedgerSummary,
): Promise<string | undefined> {
  try {
    const { manifest } = await loadCheckpoint(path);
    const { step, weightsSha256, configSha256 } = manifest;
    const known = hashes.get(step);
    if (configSha256 !== spec.configSha256) return `${path} was made with another configuration`;
    if (known === undefined && unreported.has(step)) return undefined;
    if (known === undefined) return `${path} is of step ${step}, which is not on record`;
    if (known !== weightsSha256) return `${path} has weights ${short(weightsSha256)}, the ledger says ${short(known)}`;
    return undefined;
  } catch (error) {
    if (isCoordError(error, 'CHECKPOINT_CORRUPT', 'CHECKPOINT_MISMATCH')) return error.message;
    throw error;
  }
}

/** The state of a checkpoint of this run that was found to be sound. */
export async function stateOf(runDir: string, step: number): Promise<TrainingState | undefined> {
  const ref = (await findCheckpoints(runDir)).find((one) => one.step === step);
  return ref && (await loadCheckpoint(ref.path)).state;
}
