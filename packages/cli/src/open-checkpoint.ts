/** RUN_OR_CHECKPOINT: what `eval` and `export` are given. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type CheckpointManifest, latestCheckpoint, loadCheckpoint } from '@coord/checkpoint';
import { CoordError, type TrainingState } from '@coord/protocol';
import { type RunRecord, readRunRecord, runDirectoryOf } from './run-directory.js';

export interface OpenCheckpoint {
  readonly path: string;
  readonly state: TrainingState;
  readonly manifest: CheckpointManifest;
  readonly record: RunRecord;
}

/**
 * @param path a run directory (its newest intact checkpoint) or a checkpoint directory inside one.
 * @throws CoordError CHECKPOINT_NOT_FOUND, CHECKPOINT_CORRUPT.
 */
export async function openCheckpoint(path: string): Promise<OpenCheckpoint> {
  const runDir = runDirectoryOf(path);
  if (runDir === undefined) throw noRun(path);
  const record = await readRunRecord(runDir);
  const checkpoint = existsSync(join(path, 'config.json')) ? await newestOf(path) : path;
  const { state, manifest } = await loadCheckpoint(checkpoint);
  return { path: checkpoint, state, manifest, record };
}

async function newestOf(runDir: string): Promise<string> {
  const newest = await latestCheckpoint(runDir);
  if (newest) return newest.path;
  throw new CoordError('CHECKPOINT_NOT_FOUND', `the run in ${runDir} has no intact checkpoint`, {
    hint: 'Checkpoints are written after each epoch by default; checkpoint.everySteps makes them more frequent.',
    facts: { runDir },
  });
}

const noRun = (path: string): CoordError =>
  new CoordError('CHECKPOINT_NOT_FOUND', `${path} is neither a run directory nor a checkpoint inside one`, {
    hint: 'Give a directory that `coord start` made (by default in runs/), or one of its checkpoints/step-….',
    facts: { path },
  });
