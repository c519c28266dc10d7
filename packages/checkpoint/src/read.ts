/** Reading one checkpoint directory, every byte verified. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hashState, hashWeights, type TrainingState } from '@coord/protocol';
import { corrupt } from './corrupt.js';
import { type CheckpointManifest, FILE_NAMES, MANIFEST_NAME, parseManifest } from './manifest.js';
import { decodeSafetensors } from './safetensors.js';
import { assembleState, type TensorSource } from './state-tensors.js';
import { readLimited, readVerified } from './verified-read.js';

const MAX_MANIFEST_BYTES = 64 * 1024 * 1024;

export interface LoadedCheckpoint {
  readonly state: TrainingState;
  readonly manifest: CheckpointManifest;
}

/** @throws CoordError CHECKPOINT_CORRUPT, CHECKPOINT_MISMATCH */
export async function readManifest(path: string): Promise<CheckpointManifest> {
  const file = join(path, MANIFEST_NAME);
  return parseManifest(await readLimited(file, MAX_MANIFEST_BYTES), file);
}

/** @throws CoordError CHECKPOINT_CORRUPT, CHECKPOINT_MISMATCH */
export async function readCheckpoint(path: string): Promise<LoadedCheckpoint> {
  const manifest = await readManifest(path);
  const { step, parameters, slots } = manifest;
  const weightsSource = await readTensors(path, manifest, FILE_NAMES.weights);
  const optimizerSource = await readTensors(path, manifest, FILE_NAMES.optimizer);
  const state = assembleState({ step, parameters, slots, weightsSource, optimizerSource });
  verifyHashes(path, state, manifest);
  return { state, manifest };
}

async function readTensors(
  path: string,
  manifest: CheckpointManifest,
  name: keyof CheckpointManifest['files'],
): Promise<TensorSource> {
  const file = join(path, name);
  return { file, tensors: decodeSafetensors(await readVerified(file, manifest.files[name]), file) };
}

function verifyHashes(path: string, state: TrainingState, manifest: CheckpointManifest): void {
  const wrong = (file: string, field: string) =>
    corrupt(join(path, file), `its values do not fit ${field} of its manifest`);
  if (hashWeights(state.layout, state.weights) !== manifest.weightsSha256)
    throw wrong(FILE_NAMES.weights, 'weightsSha256');
  if (hashState(state) !== manifest.stateSha256) throw wrong(FILE_NAMES.optimizer, 'stateSha256');
}

/** A quick look, without reading the data: the manifest is sound and the files have its sizes. */
export async function isWhole(path: string, manifest: CheckpointManifest): Promise<boolean> {
  const checks = Object.entries(manifest.files).map(async ([name, { bytes }]) => {
    const found = await stat(join(path, name)).catch(() => undefined);
    return found?.size === bytes;
  });
  return (await Promise.all(checks)).every(Boolean);
}
