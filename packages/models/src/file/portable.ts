/** What a topology from a file must meet to travel: classes that every worker knows, names that every start gives alike. */
import { CoordError } from '@coord/protocol';
import * as tf from '@tensorflow/tfjs-core';
import { isJsonObject, type Json, type JsonObject, parseTopology } from '../topology.js';

export interface Naming {
  /** For messages. */
  readonly file: string;
  /** What the model is called. */
  readonly name: string;
  /** Classes that every worker knows. */
  readonly known: ReadonlySet<string>;
}

/** Names of all classes that topologies may use now. */
export const knownClasses = (): ReadonlySet<string> =>
  new Set(Object.keys(tf.serialization.SerializationMap.getMap().classNameMap));

/**
 * The topology with the model's name, and with automatic layer names counted from 1: tfjs counts them over all that the
 * process has built, and names decide seeds and hashes.
 *
 * @throws CoordError MODEL_INVALID when it has a class that workers do not know.
 */
export function portable(topology: string, { file, name, known }: Naming): string {
  const model = parseTopology(topology);
  requireKnown(model, file, known);
  const renamed = replaced(model, countedNames(model)) as JsonObject;
  return JSON.stringify({ ...renamed, config: { ...(renamed.config as JsonObject), name } });
}

function requireKnown(value: Json, file: string, known: ReadonlySet<string>): void {
  if (Array.isArray(value)) for (const item of value) requireKnown(item, file, known);
  if (!isJsonObject(value)) return;
  const { class_name: className, config } = value;
  if (typeof className === 'string' && isJsonObject(config) && !known.has(className)) {
    throw stranger(file, className, config);
  }
  for (const item of Object.values(value)) requireKnown(item, file, known);
}

function stranger(file: string, className: string, config: JsonObject): CoordError {
  const what = typeof config.name === 'string' ? `layer "${config.name}" is` : 'a part is';
  return new CoordError(
    'MODEL_INVALID',
    `the model file ${file}: ${what} of class ${className}, which no worker knows`,
    {
      hint: 'Workers receive a topology, never code: build it from layers of tf.layers, and from `layers` of @coord/models.',
      facts: { file, className },
    },
  );
}

/** `dense_Dense7`, `input7`: what tfjs calls the seventh layer of a class in a process. */
const AUTOMATIC = /^(input|.+_[A-Z][A-Za-z0-9]*?)(\d+)$/;

function countedNames(model: JsonObject): Map<string, string> {
  const counts = new Map<string, number>();
  const names = new Map<string, string>();
  for (const name of layerNames(model)) {
    const stem = AUTOMATIC.exec(name)?.[1];
    if (stem === undefined || names.has(name)) continue;
    const count = (counts.get(stem) ?? 0) + 1;
    counts.set(stem, count);
    names.set(name, `${stem}${count}`);
  }
  return names;
}

/** Names of layers and of layers inside them, in the order of the topology. */
function layerNames(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap(layerNames);
  if (!isJsonObject(value)) return [];
  const { class_name: className, config } = value;
  const own = typeof className === 'string' && isJsonObject(config) ? config.name : undefined;
  return [...(typeof own === 'string' ? [own] : []), ...Object.values(value).flatMap(layerNames)];
}

function replaced(value: Json, names: ReadonlyMap<string, string>): Json {
  if (typeof value === 'string') return names.get(value) ?? value;
  if (Array.isArray(value)) return value.map((item) => replaced(item, names));
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, names)]));
}
