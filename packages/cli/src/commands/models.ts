import { inspectModel, type ModelDescription } from '@coord/engine';
import { createModel, listModels, topologyOf } from '@coord/models';
import { EXIT_CODE } from '@coord/protocol';
import { type JsonSchemaNode, nodesAt } from '../config/json-schema.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import type { JsonOptions } from '../options.js';
import { totalText } from '../view/model-table.js';

interface ModelSummary {
  readonly name: string;
  readonly summary: string;
  /** Option → default; null where it must be given. */
  readonly options: Readonly<Record<string, unknown>>;
}

function summaries(): ModelSummary[] {
  const variants = nodesAt(['model']).flatMap((node) => node.oneOf ?? [node]);
  return listModels().map(({ name, summary }) => {
    const variant = variants.find((node) => node.properties?.name.const === name);
    return { name, summary, options: defaultsOf(variant) };
  });
}

function defaultsOf(variant: JsonSchemaNode | undefined): Record<string, unknown> {
  const options = Object.entries(variant?.properties ?? {}).filter(([key]) => key !== 'name');
  return Object.fromEntries(options.map(([key, node]) => [key, node.default ?? null]));
}

/** The model as it is with the defaults of its options. */
function inspected(name: string): ModelDescription {
  const model = createModel(name);
  const topology = topologyOf(model);
  model.dispose();
  return inspectModel(topology);
}

export async function runModels(options: JsonOptions, io: CommandIo): Promise<number> {
  for (const model of summaries()) {
    const description = inspected(model.name);
    if (options.json) {
      const { parameters, trainableParameters, flops } = description;
      writeJson(io.stdout, { event: 'model', ...model, parameters, trainableParameters, flops });
      continue;
    }
    writeLine(io.stdout, `${model.name}  ${model.summary}\n    ${totalText(description)}`);
    for (const [key, value] of Object.entries(model.options)) {
      writeLine(io.stdout, `    ${key}: ${value === null ? '(none)' : JSON.stringify(value)}`);
    }
  }
  return EXIT_CODE.ok;
}
