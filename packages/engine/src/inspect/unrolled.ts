/** Layers that are computed one place of a sequence after the other: each place becomes nodes of its own in the compiled step. */
import { modelFromTopology } from '@coord/models';
import type * as tfl from '@tensorflow/tfjs-layers';
import { cellsOf, describeLayer, layersWithin } from '../step/layer-tree.js';
import { withBackend } from '../tensors.js';

/** Steps of a cell from which compiling takes seconds. */
const MANY_STEPS = 128;

function stepsOf(layer: tfl.layers.Layer): number {
  const isSequential = cellsOf(layer).length > 0 || layer.getClassName() === 'TimeDistributed';
  const places = isSequential ? placesOf(layer) : undefined;
  return places === undefined ? 0 : places * Math.max(1, cellsOf(layer).length);
}

/** Length of the sequences that the layer is applied to; undefined inside wrappers, which have it too. */
function placesOf(layer: tfl.layers.Layer): number | undefined {
  if (layer.inboundNodes.length === 0) return undefined;
  const [input] = [layer.getInputAt(0)].flat();
  return input.shape[1] ?? undefined;
}

/** One sentence a layer that makes compiling slow. */
export function compileWarnings(topology: string): string[] {
  const model = withBackend('cpu', () => modelFromTopology(topology, { initialise: false }));
  try {
    return unrolledWarnings(model);
  } finally {
    model.dispose();
  }
}

export const unrolledWarnings = (model: tfl.LayersModel): string[] =>
  layersWithin(model).flatMap((layer) => {
    const wrapped = layer.getClassName() === 'Bidirectional' ? 2 * (placesOf(layer) ?? 0) : stepsOf(layer);
    return wrapped < MANY_STEPS ? [] : [warning(layer, wrapped)];
  });

const warning = (layer: tfl.layers.Layer, steps: number): string =>
  `${describeLayer(layer)} is unrolled over ${steps} steps; compiling takes seconds for each size of batch, on every worker`;
