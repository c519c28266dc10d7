/** The model of a configuration: built from the library, or read from a user's file. */
import { resolve } from 'node:path';
import { createModel, loadModelFile, type ModelFile, modelFromTopology, topologyOf } from '@coord/models';
import type { ModelShapes } from './fit.js';
import type { RunConfig } from './schema.js';

type ModelConfig = RunConfig['model'];
type FileConfig = Extract<ModelConfig, { name: 'file' }>;

export interface DescribedModel extends ModelFile {
  readonly shapes: ModelShapes;
}

const isFile = (model: ModelConfig): model is FileConfig => model.name === 'file';

/**
 * @param directory where a relative path of a model file starts.
 * @throws CoordError MODEL_UNKNOWN, MODEL_INVALID
 */
export async function describeModel(model: ModelConfig, directory: string): Promise<DescribedModel> {
  const described = isFile(model)
    ? await loadModelFile(resolve(directory, model.file), model.options)
    : { name: model.name, topology: libraryTopology(model) };
  return { ...described, shapes: shapesOf(described.topology) };
}

function libraryTopology({ name, ...options }: ModelConfig): string {
  const model = createModel(name, options);
  const topology = topologyOf(model);
  model.dispose();
  return topology;
}

function shapesOf(topology: string): ModelShapes {
  const model = modelFromTopology(topology, { initialise: false });
  const withoutBatch = (tensors: readonly { shape: (number | null)[] }[]) => tensors.map(({ shape }) => shape.slice(1));
  const shapes = { inputs: withoutBatch(model.inputs), outputs: withoutBatch(model.outputs) };
  model.dispose();
  return shapes;
}
