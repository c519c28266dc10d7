/** Rewrites a topology so that its outputs stand before their final activation. */
import { isJsonObject, type Json, type JsonObject, parseTopology } from '@coord/models';

export interface LogitsTopology {
  readonly topology: string;
  /** One an output: the activation that was removed. */
  readonly removed: readonly (string | undefined)[];
}

/**
 * @param activations one an output: the activation to take off, e.g. `softmax`; undefined leaves the output as it is.
 * An output whose layer also feeds another layer keeps its activation, since that layer needs it.
 */
export function withoutFinalActivations(
  topology: string,
  activations: readonly (string | undefined)[],
): LogitsTopology {
  const model = parseTopology(topology);
  const outputs = outputLayers(model);
  const removed = outputs.map((layer, index) => {
    const activation = activations[index];
    return layer && activation ? removeActivation(layer, activation) : undefined;
  });
  return { topology: JSON.stringify(model), removed };
}

const configOf = (layer: JsonObject): JsonObject => (isJsonObject(layer.config) ? layer.config : {});
const layersOf = (model: JsonObject): JsonObject[] => {
  const { layers } = configOf(model);
  return Array.isArray(layers) ? layers.filter(isJsonObject) : [];
};

/** The layer behind each output; undefined where its activation must stay. */
function outputLayers(model: JsonObject): (JsonObject | undefined)[] {
  const layers = layersOf(model);
  if (model.class_name === 'Sequential') return [layers.at(-1)];
  const references = referenceList(configOf(model).output_layers ?? null);
  const consumed = new Set(layers.flatMap((layer) => referencesIn(layer.inbound_nodes ?? null)));
  return references.map((name) => {
    const isShared = consumed.has(name) || references.filter((other) => other === name).length > 1;
    return isShared ? undefined : layers.find((layer) => layer.name === name);
  });
}

/** `[["a",0,0],["b",0,0]]`, or `["a",0,0]` for a single output. */
function referenceList(value: Json): string[] {
  if (!Array.isArray(value)) return [];
  if (typeof value[0] === 'string') return [value[0]];
  return value.flatMap((item) => (Array.isArray(item) && typeof item[0] === 'string' ? [item[0]] : []));
}

function referencesIn(value: Json): string[] {
  if (!Array.isArray(value)) return [];
  if (typeof value[0] === 'string' && typeof value[1] === 'number') return [value[0]];
  return value.flatMap(referencesIn);
}

function removeActivation(layer: JsonObject, activation: string): string | undefined {
  const config = configOf(layer);
  if (layer.class_name === 'Softmax' && activation === 'softmax' && (config.axis ?? -1) === -1) {
    layer.class_name = 'Activation';
    layer.config = { name: config.name, trainable: config.trainable ?? true, activation: 'linear' };
    return activation;
  }
  if (config.activation !== activation || hasActivityPenalty(config)) return undefined;
  config.activation = 'linear';
  return activation;
}

/** A penalty on the activated output must see the activated output. */
const hasActivityPenalty = (config: JsonObject): boolean =>
  config.activity_regularizer !== undefined && config.activity_regularizer !== null;
