import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, errorText, syncDirectory, writeDurably, writeHint } from '@coord/disk';
import { CoordError, headerOfGradually, isCoordError, type TrainingState } from '@coord/protocol';
import {
  type CheckpointManifest,
  FILE_NAMES,
  FORMAT_VERSION,
  MANIFEST_NAME,
  manifestText,
  sealManifest,
} from './manifest.js';
import { asideName, checkpointName, checkpointsDirectory, listNames } from './paths.js';
import { readCheckpoint } from './read.js';
import { prune, type Retention, requireRetention } from './retention.js';
import { encodeSafetensors } from './safetensors.js';
import { optimizerTensors, weightTensors } from './state-tensors.js';

export type CheckpointInfo = Pick<
  CheckpointManifest,
  'runId' | 'epoch' | 'position' | 'seed' | 'configSha256' | 'config'
>;

export interface SavedCheckpoint {
  readonly path: string;
  readonly manifest: CheckpointManifest;
}

/**
 * Writes `runDir/checkpoints/step-…`: aside first, every file and directory synced, then renamed, so that a crash at any
 * point leaves all older checkpoints and either the whole new one or nothing of it. After that the oldest go.
 *
 * The state must not change until the promise resolves. If the very same checkpoint exists already, it is kept; a different
 * one of that step keeps its name and the new one is called `step-….1`.
 *
 * @throws CoordError CHECKPOINT_WRITE_FAILED
 * @throws RangeError when `retention.keepLast` is less than 1.
 */
export async function saveCheckpoint(
  runDir: string,
  state: TrainingState,
  info: CheckpointInfo,
  retention: Retention,
): Promise<SavedCheckpoint> {
  requireRetention(retention);
  const directory = checkpointsDirectory(runDir);
  const aside = join(directory, asideName());
  try {
    requireZeroPadding(state);
    const manifest = await writeAside(aside, state, info);
    const path = await publish(aside, directory, manifest);
    await prune(directory, path, retention);
    return { path, manifest };
  } catch (error) {
    await rm(aside, { recursive: true, force: true }).catch(() => undefined);
    throw writeFailed(directory, state.step, error);
  }
}

async function writeAside(aside: string, state: TrainingState, info: CheckpointInfo): Promise<CheckpointManifest> {
  await mkdir(aside, { recursive: true });
  const write = (name: string, sections: Uint8Array[]) => writeDurably(join(aside, name), sections);
  const files = {
    [FILE_NAMES.weights]: await write(FILE_NAMES.weights, encodeSafetensors(weightTensors(state))),
    [FILE_NAMES.optimizer]: await write(FILE_NAMES.optimizer, encodeSafetensors(optimizerTensors(state))),
  };
  const { runId, epoch, position, seed, configSha256, config } = info;
  const place = { runId, epoch, position, seed, configSha256, config };
  const manifest = sealManifest({
    formatVersion: FORMAT_VERSION,
    ...place,
    ...(await headerOfGradually(state)),
    files,
  });
  await write(MANIFEST_NAME, [Buffer.from(manifestText(manifest))]);
  await syncDirectory(aside);
  return manifest;
}

async function publish(aside: string, directory: string, manifest: CheckpointManifest): Promise<string> {
  const taken = new Set(await listNames(directory));
  let copy = 0;
  for (; taken.has(checkpointName(manifest.step, copy)); copy++) {
    const existing = join(directory, checkpointName(manifest.step, copy));
    if (await isIntactCopy(existing, manifest)) {
      await rm(aside, { recursive: true });
      return existing;
    }
  }
  const path = join(directory, checkpointName(manifest.step, copy));
  await rename(aside, path);
  await syncDirectory(directory);
  await syncDirectory(dirname(directory));
  return path;
}

async function isIntactCopy(path: string, manifest: CheckpointManifest): Promise<boolean> {
  try {
    return (await readCheckpoint(path)).manifest.manifestSha256 === manifest.manifestSha256;
  } catch (error) {
    if (isCoordError(error)) return false;
    throw error;
  }
}

/** Files hold no padding, so padding that is not zero would be lost, and `stateSha256` would never fit again. */
function requireZeroPadding({ layout, weights, slots }: TrainingState): void {
  layout.parameters.forEach(({ name, offset, size }, index) => {
    const end = layout.parameters[index + 1]?.offset ?? layout.totalSize;
    for (const [buffer, flat] of [['weights', weights] as const, ...slots]) {
      const padding = flat.subarray(offset + size, end);
      if (padding.every((value) => Object.is(value, 0))) continue;
      throw new Error(`the padding of ${buffer} after parameter ${name} is not zero`);
    }
  });
}

function writeFailed(directory: string, step: number, cause: unknown): CoordError {
  return new CoordError(
    'CHECKPOINT_WRITE_FAILED',
    `the checkpoint of step ${step} could not be written to ${directory}: ${errorText(cause)}`,
    {
      hint: writeHint(cause),
      facts: { directory, step, errno: errnoOf(cause) },
      cause,
    },
  );
}
