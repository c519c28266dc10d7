import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CoordError, isCoordError } from '@coord/protocol';
import { type CheckpointRef, latestCheckpoint, latestIntactIn } from './find.js';
import { MANIFEST_NAME } from './manifest.js';
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
  const message = (await exists(path)) ? `${path} holds no intact checkpoint` : `there is no checkpoint at ${path}`;
  return new CoordError('CHECKPOINT_NOT_FOUND', message, { hint: await hintBeside(path), facts: { path } });
}

async function hintBeside(path: string): Promise<string> {
  const other: CheckpointRef | undefined = await latestIntactIn(dirname(path));
  return other
    ? `The newest intact checkpoint beside it is ${other.path} (step ${other.step}).`
    : 'No checkpoint beside it is intact: restore it from a copy, or start the run again.';
}
