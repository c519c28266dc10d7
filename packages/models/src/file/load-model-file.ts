/** Models from a user's file: a TypeScript or JavaScript module, or a model.json of tfjs or Keras. */
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { CoordError } from '@coord/protocol';
import type { ModelFile } from './model-file.js';

/** Four times what may travel as a topology. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MODULES = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs']);

/**
 * Runs the module, or reads the JSON. Only the process that starts a run does so: workers receive the topology.
 *
 * @param path of the file; relative ones start from the working directory.
 * @param options what a module's function is called with.
 * @throws CoordError MODEL_INVALID: not found, not to be run, no model, or of classes that only the file knows.
 */
export async function loadModelFile(path: string, options: Readonly<Record<string, unknown>>): Promise<ModelFile> {
  await requireFile(path);
  const extension = extname(path);
  if (MODULES.has(extension)) return (await import('./module.js')).modelFromModule(path, options);
  if (extension === '.json') return (await import('./model-json.js')).modelFromJson(path, options);
  throw new CoordError('MODEL_INVALID', `${path}: a model cannot be read from a file of this kind`, {
    hint: `Known: model.json of tfjs or Keras, and modules (${[...MODULES].join(', ')}).`,
    facts: { path },
  });
}

async function requireFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile()) return requireSize(path, found.size);
  throw new CoordError('MODEL_INVALID', `there is no model file ${path}`, {
    hint: 'A relative path in a configuration starts from the directory of the YAML file.',
    facts: { path },
  });
}

function requireSize(path: string, sizeBytes: number): void {
  if (sizeBytes <= MAX_FILE_BYTES) return;
  throw new CoordError(
    'MODEL_INVALID',
    `the model file ${path} has ${sizeBytes} bytes; the limit is ${MAX_FILE_BYTES}`,
    {
      hint: 'Weights belong into files of their own beside a model.json, as save() writes them.',
      facts: { path, sizeBytes, limitBytes: MAX_FILE_BYTES },
    },
  );
}
