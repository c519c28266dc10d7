/** A model from the model.json that tfjs or Keras has written: its topology, and its weights where they lie beside it. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { CoordError, isCoordError } from '@coord/protocol';
import type * as tfc from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { z } from 'zod';
import { type JsonObject, modelFromTopology, parseTopology, topologyOf } from '../topology.js';
import { type ModelFile, modelFileName } from './model-file.js';
import { knownClasses, portable } from './portable.js';

const weightsManifestSchema = z.array(
  z.object({ paths: z.array(z.string().min(1)), weights: z.array(z.looseObject({ name: z.string() })) }),
);

type WeightsManifest = z.infer<typeof weightsManifestSchema>;

export async function modelFromJson(path: string, options: Readonly<Record<string, unknown>>): Promise<ModelFile> {
  if (Object.keys(options).length > 0) throw invalid(path, 'a model.json takes no options');
  const text = await readFile(path, 'utf8');
  const json = topologyIn(path, text);
  const manifest = manifestOf(path, text);
  const name = modelFileName(path);
  const known = knownClasses();
  const naming = { file: path, name, known };
  portable(JSON.stringify(json), naming);
  const bare = topologyFrom(json, manifest.length === 0);
  if (manifest.length === 0) return { name, topology: portable(bare, naming) };
  const model = await loaded(path, json as unknown as tfc.io.ModelJSON['modelTopology'], manifest);
  const weights = model.weights.map((weight) => Float32Array.from(weight.read().dataSync()));
  const topology = portable(topologyOf(model), naming);
  model.dispose();
  return { name, topology, weights };
}

function topologyIn(path: string, text: string): JsonObject {
  try {
    return parseTopology(text);
  } catch (cause) {
    throw invalid(path, (cause as Error).message, cause);
  }
}

/**
 * Built and written again, so that defaults are spelt out.
 *
 * @param initialise false where its initializers are of no account: what is written then has zeros in their place.
 */
function topologyFrom(json: JsonObject, initialise: boolean): string {
  const model = modelFromTopology(JSON.stringify(json), { initialise });
  const topology = topologyOf(model);
  model.dispose();
  return topology;
}

function manifestOf(path: string, text: string): WeightsManifest {
  const { weightsManifest = [] } = JSON.parse(text) as { weightsManifest?: unknown };
  const parsed = weightsManifestSchema.safeParse(weightsManifest);
  if (!parsed.success) throw invalid(path, 'its weightsManifest is no list of paths and weights');
  return parsed.data;
}

async function loaded(
  path: string,
  modelTopology: tfc.io.ModelJSON['modelTopology'],
  manifest: WeightsManifest,
): Promise<tfl.LayersModel> {
  const weightSpecs = manifest.flatMap((group) => group.weights) as unknown as tfc.io.WeightsManifestEntry[];
  try {
    const weightData = await weightBytes(path, manifest);
    return await tfl.loadLayersModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });
  } catch (cause) {
    if (isCoordError(cause)) throw cause;
    throw invalid(path, `its weights cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}

/** The files of all groups, one after the other. */
async function weightBytes(path: string, manifest: WeightsManifest): Promise<ArrayBuffer> {
  const directory = resolve(dirname(path));
  const files = manifest.flatMap((group) => group.paths).map((name) => resolve(directory, name));
  const stranger = files.find((file) => !file.startsWith(directory + sep));
  if (stranger) throw invalid(path, `it names weights outside its directory: ${stranger}`);
  // A short list of names must not become a long list of bytes.
  if (new Set(files).size < files.length) throw invalid(path, 'it names a file of weights twice');
  const parts = await Promise.all(files.map((file) => readFile(file)));
  const { buffer, byteOffset, byteLength } = Buffer.concat(parts);
  return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
}

const invalid = (path: string, why: string, cause?: unknown): CoordError =>
  new CoordError('MODEL_INVALID', `the model file ${path}: ${why}`, {
    hint: 'Write it with save() of tfjs or Keras 2; docs/models.md shows how.',
    facts: { path },
    cause,
  });
