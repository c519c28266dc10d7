/** What a model consists of: its layers with shapes, parameters and floating-point operations. */
import { modelFromTopology } from '@coord/models';
import { type Field, isCoordError } from '@coord/protocol';
import type * as tfl from '@tensorflow/tfjs-layers';
import { describeLayer, withParts } from '../step/layer-tree.js';
import { layoutOf, type PreparedStep } from '../step/prepare.js';
import { tracePrediction } from '../step/trace-step.js';
import { withBackend } from '../tensors.js';
import { flopsOf } from './flops.js';
import { unrolledWarnings } from './unrolled.js';

/** Without the batch axis; null stands for any length. */
type SampleShape = readonly (number | null)[];

export interface LayerDescription {
  readonly name: string;
  readonly className: string;
  /** One an output. */
  readonly outputShapes: readonly SampleShape[];
  readonly parameters: number;
  /** Forward, for one sample; null where the model cannot be traced. */
  readonly flops: number | null;
}

export interface ModelDescription {
  readonly layers: readonly LayerDescription[];
  readonly parameters: number;
  readonly trainableParameters: number;
  /** Forward, for one sample: two for each multiply-add of products and convolutions. A training step takes about three times as many. */
  readonly flops: number | null;
  /** What its user should know before training it. */
  readonly warnings: readonly string[];
}

/** @throws CoordError MODEL_INVALID */
export function inspectModel(topology: string): ModelDescription {
  const model = withBackend('cpu', () => modelFromTopology(topology, { initialise: false }));
  try {
    const flops = flopsByLayer(topology, model);
    const layers = model.layers.map((layer) => describe(layer, flops));
    const all = layers.map((layer) => layer.flops);
    return {
      layers,
      parameters: model.countParams(),
      trainableParameters: countOf(model.trainableWeights),
      flops: flops && all.reduce<number>((sum, count) => sum + (count ?? 0), 0),
      warnings: unrolledWarnings(model),
    };
  } finally {
    model.dispose();
  }
}

const countOf = (weights: readonly tfl.LayerVariable[]): number =>
  weights.reduce((sum, { shape }) => sum + shape.reduce<number>((size, extent) => size * Number(extent), 1), 0);

const describe = (layer: tfl.layers.Layer, flops: ReadonlyMap<string, number> | null): LayerDescription => ({
  name: layer.name,
  className: layer.getClassName(),
  outputShapes: shapesOf(layer),
  parameters: countOf(layer.weights),
  flops: flops && (flops.get(layer.name) ?? 0),
});

function shapesOf(layer: tfl.layers.Layer): SampleShape[] {
  return layer.inboundNodes
    .flatMap((node) => node.outputShapes as unknown as (number | null)[][])
    .map((shape) => shape.slice(1));
}

/** Operations of each of the model's own layers, those of layers inside them included; null where it cannot be traced. */
function flopsByLayer(topology: string, model: tfl.LayersModel): Map<string, number> | null {
  const owners = new Map(
    model.layers.flatMap((layer) => withParts(layer).map((part) => [describeLayer(part), layer.name])),
  );
  const flops = new Map<string, number>();
  const graph = tracedForOne(topology, model);
  for (const node of graph?.nodes ?? []) {
    const owner = owners.get(node.layer ?? '') ?? '';
    flops.set(owner, (flops.get(owner) ?? 0) + flopsOf(node));
  }
  return graph && flops;
}

function tracedForOne(topology: string, model: tfl.LayersModel) {
  const inputs = model.inputs.map(fieldOf);
  if (inputs.some((field) => field === undefined)) return null;
  const step: PreparedStep = {
    spec: { topology, loss: 'meanSquaredError', inputs: inputs as Field[], targets: [], seed: 0 },
    layout: layoutOf(model),
    trainedTopology: topology,
    finalActivations: model.outputs.map(() => undefined),
    losses: [],
  };
  try {
    return tracePrediction(step, 1).graph;
  } catch (error) {
    if (isCoordError(error) && error.code === 'ENGINE_UNSUPPORTED') return null;
    throw error;
  }
}

/** Undefined where an input's shape is open. */
function fieldOf(input: tfl.SymbolicTensor): Field | undefined {
  const shape = input.shape.slice(1);
  if (shape.some((extent) => extent === null)) return undefined;
  const dtype = input.dtype === 'int32' ? 'int32' : 'float32';
  return { name: input.name, role: 'input', shape: shape as number[], storage: dtype, dtype, scale: 1, offset: 0 };
}
