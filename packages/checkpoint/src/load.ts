import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CoordError, isCoordError } from '@coord/protocol';
import { type CheckpointRef, latestCheckpoint, latestIntactIn } from './find.js';
import { MANIFEST_NAME } from './manifest.js';
import { checkpointsDirectory, isCheckpointName } from './paths.js';
import { type LoadedCheckpoint, readCheckpoint } from './read.js';

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/**
 * Loads a checkpoint directory and verifies every byte of it.
 * @throws CoordError CHECKPOINT_NOT_FOUND, CHECKPOINT_CORRUPT (both with a hint that names the newest intact checkpoint beside
 *   it), CHECKPOINT_MISMATCH (written by another version of coord)
 */
export async function loadCheckpoint(path: string): Promise<LoadedCheckpoint> {
  if (!(await exists(path))) throw await notFound(path);
  try {
    return await readCheckpoint(path);
  } catch (error) {
    if (!isCoordError(error, 'CHECKPOINT_CORRUPT')) throw error;
    const { message, facts } = error;
    throw new CoordError('CHECKPOINT_CORRUPT', message, { facts, hint: await hintBeside(path), cause: error });
  }
}

/**
 * The checkpoint that a person means by a path: itself, or the newest intact one of the run directory that it names.
 * @throws CoordError CHECKPOINT_NOT_FOUND
 */
export async function resolveCheckpoint(path: string): Promise<string> {
  if (await exists(join(path, MANIFEST_NAME))) return path;
  const latest = await latestCheckpoint(path);
  if (latest) return latest.path;
  throw await notFound(path);
}

async function notFound(path: string): Promise<CoordError> {
  const hint = await hintBeside(path);
  return new CoordError('CHECKPOINT_NOT_FOUND', await whatIsThere(path), { hint, facts: { path } });
}

async function whatIsThere(path: string): Promise<string> {
  if (!(await exists(path))) return `there is no checkpoint at ${path}`;
  return (await isMeant(path))
    ? `${path} holds no intact checkpoint`
    : `${path} is neither a run with checkpoints nor a checkpoint`;
}

/** Whether there should be one. */
const isMeant = async (path: string): Promise<boolean> =>
  (await exists(checkpointsDirectory(path))) || isCheckpointName(basename(path));

async function hintBeside(path: string): Promise<string> {
  const other: CheckpointRef | undefined = await latestIntactIn(dirname(path));
  if (other) return `The newest intact checkpoint beside it is ${other.path} (step ${other.step}).`;
  return (await isMeant(path))
    ? 'No checkpoint beside it is intact: restore it from a copy, or start the run again.'
    : 'Give a directory that `coord start` made, by default in runs/, or one of its checkpoints/step-….';
}
