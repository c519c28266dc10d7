/**
 * Topology JSON: the form in which models travel. It is data, never code; weights are not part of it.
 *
 * tfjs writes Keras's snake_case and reads its own camelCase; the translation between them is asynchronous in its public
 * interface (it may fetch weights), so the few lines that are pure stand here.
 */
import { CoordError } from '@coord/protocol';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import type * as tfl from '@tensorflow/tfjs-layers';
import './layers/multi-head-attention.js';
import './layers/position-embedding.js';
import './layers/self-attention.js';
import './layers/token-embedding.js';
import './orthogonal.js';
import './tensors.js';
import { boundLayerPasses } from './layer-passes.js';

/** Far deeper than layers inside layers go; what walks through a topology calls itself at each level. */
const MAX_DEPTH = 200;

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface ModelFromTopologyOptions {
  /** False leaves all weights zero, which is quick; for callers that bring their own. Default true. */
  readonly initialise?: boolean;
}

export const isJsonObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The model's topology as JSON text. */
export const topologyOf = (model: tfl.LayersModel): string => JSON.stringify(model.toJSON(null, false));

/** @throws CoordError MODEL_INVALID when the text is no topology, or its layers do not fit each other. */
export function modelFromTopology(topology: string, options: ModelFromTopologyOptions = {}): tfl.LayersModel {
  const parsed = parseTopology(topology);
  try {
    return construct(parsed, options.initialise === false);
  } catch (cause) {
    throw invalid(`the model cannot be built from its topology: ${(cause as Error).message}`, cause);
  }
}

/** @throws CoordError MODEL_INVALID */
export function parseTopology(topology: string): JsonObject {
  const value = parseJson(topology);
  if (isDeeper(value, MAX_DEPTH)) throw invalid(`the topology has values inside values more than ${MAX_DEPTH} deep`);
  // A whole model.json of Keras or tfjs wraps the topology once or twice.
  const model = unwrap(unwrap(value, 'modelTopology'), 'model_config');
  if (!isJsonObject(model) || typeof model.class_name !== 'string' || !isJsonObject(model.config)) {
    throw invalid('a topology needs "class_name" and "config" at its top');
  }
  return model;
}

function parseJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw invalid(`the topology is not JSON: ${(cause as Error).message}`, cause);
  }
}

const isDeeper = (value: Json, levels: number): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (levels === 0 || Object.values(value).some((item) => isDeeper(item, levels - 1)));

const unwrap = (value: Json, key: string): Json =>
  isJsonObject(value) && isJsonObject(value[key]) ? value[key] : value;

function construct(topology: JsonObject, zeroWeights: boolean): tfl.LayersModel {
  const className = topology.class_name as string;
  const entry = tf.serialization.SerializationMap.getMap().classNameMap[className];
  if (!entry) throw new Error(`tf.layers has no class "${className}"`);
  const [modelClass, fromConfig] = entry as [(typeof entry)[0], FromConfig];
  const translated = toCamelCaseKeys(topology.config, 'config');
  const bounded = zeroWeights ? withoutInitializers(translated) : translated;
  boundLayerPasses(bounded);
  const config = bounded as tf.serialization.ConfigDict;
  const model = fromConfig(modelClass, config, {}, zeroWeights) as unknown as tfl.LayersModel;
  if (!Array.isArray(model.weights) || model.outputs === undefined) throw new Error(`"${className}" is no model`);
  return model;
}

/** What tf.layers registers for containers; tfjs-core's type leaves out the last two. */
type FromConfig = (
  modelClass: tf.serialization.SerializableConstructor<tf.serialization.Serializable>,
  config: tf.serialization.ConfigDict,
  customObjects: tf.serialization.ConfigDict,
  fastWeightInit: boolean,
) => tf.serialization.Serializable;

const camelCase = (text: string): string =>
  text.replace(/(.)_+(\w)/g, (_, before, next) => before + next.toUpperCase());

/** Names of layers stand in values of these keys and keep their spelling. */
const REFERENCE_KEYS = new Set(['inboundNodes', 'inputLayers', 'outputLayers']);

/** Names that tfjs itself spells with an underscore. */
const KEPT_VALUES = new Set(['gelu_new']);

function toCamelCaseKeys(value: Json, key: string): Json {
  if (typeof value === 'string') return KEPT_VALUES.has(value) ? value : camelCase(value);
  if (Array.isArray(value)) {
    return value.map((item, index) =>
      index === 0 && typeof item === 'string' && REFERENCE_KEYS.has(key) ? item : toCamelCaseKeys(item, key),
    );
  }
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value).map(([name, item]): [string, Json] => {
    const camel = camelCase(name);
    return [camel, camel === 'name' && typeof item === 'string' ? item : toCamelCaseKeys(item, camel)];
  });
  return Object.fromEntries(entries);
}

/** Zeros everywhere: tf.layers passes its own switch for that on to some layers inside layers only. */
function withoutInitializers(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutInitializers);
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value).map(([key, item]): [string, Json] => {
    const isInitializer = key.endsWith('Initializer') && item !== null;
    return [key, isInitializer ? { className: 'Zeros', config: {} } : withoutInitializers(item)];
  });
  return Object.fromEntries(entries);
}

const invalid = (message: string, cause?: unknown): CoordError =>
  new CoordError('MODEL_INVALID', message, {
    hint: 'Write it with topologyOf(model), or with save() of tfjs or Keras 2.',
    cause,
  });
