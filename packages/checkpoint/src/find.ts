import { join } from 'node:path';
import { isCoordError } from '@coord/protocol';
import type { CheckpointManifest } from './manifest.js';
import { checkpointsDirectory, listNames, sortedCheckpointNames, sortedCheckpoints } from './paths.js';
import { isWhole, readCheckpoint, readManifest } from './read.js';

export interface CheckpointRef {
  readonly path: string;
  readonly step: number;
  readonly manifest: CheckpointManifest;
}

/** A run's checkpoints, oldest step first. Torn ones (no sound manifest, files of other sizes) are left out. */
export const findCheckpoints = (runDir: string): Promise<CheckpointRef[]> => refsIn(checkpointsDirectory(runDir));

/** The newest checkpoint of a run of which every byte is as it was written; undefined when there is none. */
export const latestCheckpoint = (runDir: string): Promise<CheckpointRef | undefined> =>
  latestIntactIn(checkpointsDirectory(runDir));

/** What is there as a checkpoint of a run, whole or damaged, with the step that its name says. Oldest first. */
export async function checkpointsByName(runDir: string): Promise<{ path: string; step: number }[]> {
  const directory = checkpointsDirectory(runDir);
  return sortedCheckpoints(await listNames(directory)).map(({ name, step }) => ({ path: join(directory, name), step }));
}

/** Checkpoints that are newer than the newest intact one, and damaged: whoever goes on from that one has lost them. Oldest first. */
export async function passedOver(runDir: string, newestIntact: CheckpointRef | undefined): Promise<string[]> {
  const paths = (await checkpointsByName(runDir)).map(({ path }) => path);
  return paths.slice(paths.indexOf(newestIntact?.path ?? '') + 1);
}

export async function refsIn(directory: string): Promise<CheckpointRef[]> {
  const names = sortedCheckpointNames(await listNames(directory));
  const refs = await Promise.all(names.map((name) => refAt(join(directory, name))));
  return refs.filter((ref) => ref !== undefined);
}

async function refAt(path: string): Promise<CheckpointRef | undefined> {
  const manifest = await unlessUnreadable(readManifest(path));
  if (manifest === undefined || !(await isWhole(path, manifest))) return undefined;
  return { path, step: manifest.step, manifest };
}

export async function latestIntactIn(directory: string): Promise<CheckpointRef | undefined> {
  for (const ref of (await refsIn(directory)).reverse()) {
    if (await unlessUnreadable(readCheckpoint(ref.path))) return ref;
  }
  return undefined;
}

async function unlessUnreadable<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isCoordError(error, 'CHECKPOINT_CORRUPT', 'CHECKPOINT_MISMATCH')) return undefined;
    throw error;
  }
}
