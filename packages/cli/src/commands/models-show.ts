import { dirname, extname } from 'node:path';
import { inspectModel } from '@coord/engine';
import { CoordError, EXIT_CODE } from '@coord/protocol';
import { loadConfig } from '../config/load.js';
import { describeModel } from '../config/model.js';
import { FILE_MODEL } from '../config/model-schema.js';
import { applyOverride, isOverride, type OverrideProblem, parseOverride } from '../config/override.js';
import type { RunConfig } from '../config/schema.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { ModelsShowOptions } from '../options.js';
import { layerTable, totalText } from '../view/model-table.js';
import { noteLine } from '../view/start-texts.js';

const CONFIGURATIONS = new Set(['.yaml', '.yml']);

/**
 * @param target a model of the library, a model file, or the configuration of a run.
 * @throws CoordError CONFIG_*, MODEL_*, USAGE
 */
export async function runModelsShow(target: string, options: ModelsShowOptions, io: CommandIo): Promise<number> {
  const { model, directory } = await modelOf(target, options.set ?? []);
  const { name, topology } = await describeModel(model, directory);
  const description = inspectModel(topology);
  if (options.json) {
    writeJson(io.stdout, { event: 'model', name, ...description });
    return EXIT_CODE.ok;
  }
  writeLine(io.stdout, `${name}\n\n${layerTable(description)}\n\n${totalText(description)}`);
  for (const warning of description.warnings) writeLine(io.stdout, noteLine(warning));
  return EXIT_CODE.ok;
}

async function modelOf(
  target: string,
  set: readonly string[],
): Promise<Pick<RunConfig, 'model'> & { directory: string }> {
  const extension = extname(target);
  if (CONFIGURATIONS.has(extension)) {
    const { model } = await loadConfig(target, set.map(parseOverride));
    return { model, directory: dirname(target) };
  }
  const options = optionsFrom(set);
  if (extension === '') return { model: { name: target, ...options }, directory: '.' };
  return { model: { name: FILE_MODEL, file: target, options }, directory: '.' };
}

/** `--set depth=50`: beside a configuration the key has `model.` before it, beside a model it is the option itself. */
function optionsFrom(set: readonly string[]): Record<string, unknown> {
  const overrides = set.map(parseOverride);
  const problem = overrides.find((override): override is OverrideProblem => !isOverride(override));
  if (problem)
    throw new CoordError('USAGE', `${problem.flag}: ${problem.message}`, { hint: 'For example --set depth=50.' });
  return overrides.filter(isOverride).reduce<unknown>(applyOverride, {}) as Record<string, unknown>;
}
