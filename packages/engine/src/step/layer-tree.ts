/** The layers of a model with all that is inside them: models, wrapped layers, recurrent cells. */
import type * as tfl from '@tensorflow/tfjs-layers';

type Layer = tfl.layers.Layer;

/** Where tf.layers keeps layers inside layers. */
interface Holder {
  /** A model's. */
  readonly layers?: readonly Layer[];
  /** TimeDistributed's; Bidirectional's too, which only copies it. */
  readonly layer?: Layer;
  readonly forwardLayer?: Layer;
  readonly backwardLayer?: Layer;
  /** A recurrent layer's. */
  readonly cell?: Layer;
  /** StackedRNNCells'. */
  readonly cells?: readonly Layer[];
}

/** Every layer that takes part in computing the model, outer ones first. */
export const layersWithin = (model: tfl.LayersModel): Layer[] => model.layers.flatMap(withParts);

/** The layer and all layers inside it. */
export const withParts = (layer: Layer): Layer[] => [layer, ...partsOf(layer).flatMap(withParts)];

function partsOf(layer: Layer): readonly Layer[] {
  const holder = layer as unknown as Holder;
  if (holder.layers) return holder.layers;
  if (holder.forwardLayer && holder.backwardLayer) return [holder.forwardLayer, holder.backwardLayer];
  if (holder.cells) return holder.cells;
  const inner = holder.cell ?? holder.layer;
  return inner ? [inner] : [];
}

/** The cells of a recurrent layer; empty for all others. */
export function cellsOf(layer: Layer): readonly Layer[] {
  const { cell } = layer as unknown as Holder;
  if (!cell) return [];
  return (cell as unknown as Holder).cells ?? [cell];
}

/** What a layer is called in messages: its name and its class. */
export const describeLayer = (layer: Layer): string => `layer "${layer.name}" (${layer.getClassName()})`;
