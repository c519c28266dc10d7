/**
 * A model from a module whose default export is a function of options. jiti runs TypeScript on every Node that we support,
 * and lets the module import our own copy of tfjs wherever the file lies.
 */
import { resolve } from 'node:path';
import { CoordError, isCoordError } from '@coord/protocol';
import * as tfc from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { createJiti } from 'jiti';
import * as layers from '../layers/index.js';
import { createModel } from '../registry.js';
import { topologyOf } from '../topology.js';
import { type ModelFile, modelFileName } from './model-file.js';
import { knownClasses, portable } from './portable.js';

/** What a module finds under these names, instead of copies of its own. */
const PROVIDED = {
  '@tensorflow/tfjs': { ...tfc, ...tfl },
  '@tensorflow/tfjs-core': tfc,
  '@tensorflow/tfjs-layers': tfl,
  '@coord/models': { createModel, layers },
};

export async function modelFromModule(path: string, options: Readonly<Record<string, unknown>>): Promise<ModelFile> {
  // Before the module has a chance to register more.
  const known = knownClasses();
  const build = await defaultExport(path);
  const model = await built(path, build, options);
  const name = modelFileName(path);
  try {
    return { name, topology: portable(topologyOf(model), { file: path, name, known }) };
  } finally {
    model.dispose();
  }
}

type Build = (options: Readonly<Record<string, unknown>>) => unknown;

async function defaultExport(path: string): Promise<Build> {
  const jiti = createJiti(import.meta.url, { virtualModules: PROVIDED, fsCache: false, moduleCache: false });
  let exported: unknown;
  try {
    exported = await jiti.import(resolve(path), { default: true });
  } catch (cause) {
    throw invalid(path, `it cannot be loaded: ${reasonOf(cause)}`, cause);
  }
  if (typeof exported !== 'function') throw invalid(path, 'its default export is no function');
  return exported as Build;
}

async function built(path: string, build: Build, options: Readonly<Record<string, unknown>>): Promise<tfl.LayersModel> {
  let model: unknown;
  try {
    model = await build(options);
  } catch (cause) {
    if (isCoordError(cause)) throw cause;
    throw invalid(path, `its function failed: ${reasonOf(cause)}`, cause);
  }
  if (model instanceof tfl.LayersModel) return model;
  throw invalid(path, 'its function returned no tf.layers model');
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause)).split('\n')[0];

const invalid = (path: string, why: string, cause?: unknown): CoordError =>
  new CoordError('MODEL_INVALID', `the model file ${path}: ${why}`, {
    hint: 'Its default export must be a function of options that returns tf.model(…) or tf.sequential(…); see docs/models.md.',
    facts: { path },
    cause,
  });
