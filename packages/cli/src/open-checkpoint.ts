/** RUN_OR_CHECKPOINT: what `eval` and `export` are given. */
import { type CheckpointManifest, loadCheckpoint, resolveCheckpoint } from '@coord/checkpoint';
import { CoordError, type TrainingState } from '@coord/protocol';
import { runConfigSchema } from './config/schema.js';
import { type RunRecord, readRunRecord, runDirectoryOf } from './run-directory.js';

export interface OpenCheckpoint {
  readonly path: string;
  readonly state: TrainingState;
  readonly manifest: CheckpointManifest;
  readonly record: RunRecord;
}

/**
 * @param path a run directory (its newest intact checkpoint) or a checkpoint directory.
 * @throws CoordError CHECKPOINT_NOT_FOUND, CHECKPOINT_CORRUPT.
 */
export async function openCheckpoint(path: string): Promise<OpenCheckpoint> {
  const checkpoint = await resolveCheckpoint(path);
  const { state, manifest } = await loadCheckpoint(checkpoint);
  const runDir = runDirectoryOf(checkpoint);
  const record = runDir === undefined ? recordOf(manifest, checkpoint) : await readRunRecord(runDir);
  return { path: checkpoint, state, manifest, record };
}

/** A checkpoint that was copied away from its run still holds the configuration; relative paths then start from here. */
function recordOf(manifest: CheckpointManifest, checkpoint: string): RunRecord {
  const config = runConfigSchema.safeParse(manifest.config);
  if (config.success) {
    const { runId, configSha256 } = manifest;
    return { runId, configSha256, createdAt: '', directory: '.', config: config.data };
  }
  throw new CoordError('CHECKPOINT_MISMATCH', `${checkpoint} holds no configuration that this version of coord reads`, {
    hint: 'Use the checkpoint in its run directory, or the version of coord that wrote it.',
    facts: { checkpoint },
  });
}
