/** Initial weights as a pure function of topology and seed. */
import { isJsonObject, type Json, type JsonObject, modelFromTopology, parseTopology } from '@coord/models';
import { CoordError, type Layout, philox, streamKey, viewOf } from '@coord/protocol';
import { layoutOf } from './step/prepare.js';
import { refusingRandom } from './step/random-layers.js';
import { withBackend } from './tensors.js';

export interface InitialWeights {
  readonly layout: Layout;
  /** Flat, `layout.totalSize` elements, padding zero. */
  readonly weights: Float32Array;
}

/**
 * Every initializer's seed is derived from (seed, path of the initializer in the topology); nothing comes from Math.random.
 *
 * @param given in the order of the model's weights: taken as they are, so that the seed decides nothing.
 * @throws CoordError MODEL_INVALID, also when an initializer draws numbers that no seed reaches.
 */
export function initialWeights(topology: string, seed: number, given?: readonly Float32Array[]): InitialWeights {
  if (given) return givenWeights(topology, given);
  const model = parseTopology(topology);
  seedInitializers(model, '', seed);
  return withBackend('cpu', () => refusingRandom(unseeded, () => weightsOf(JSON.stringify(model))));
}

function givenWeights(topology: string, given: readonly Float32Array[]): InitialWeights {
  const model = withBackend('cpu', () => modelFromTopology(topology, { initialise: false }));
  const layout = layoutOf(model);
  model.dispose();
  const weights = new Float32Array(layout.totalSize);
  layout.parameters.forEach((parameter, index) => {
    viewOf(parameter, weights).set(given[index]);
  });
  return { layout, weights };
}

function weightsOf(topology: string): InitialWeights {
  const model = modelFromTopology(topology);
  const layout = layoutOf(model);
  const weights = new Float32Array(layout.totalSize);
  model.weights.forEach((weight, index) => {
    viewOf(layout.parameters[index], weights).set(weight.read().dataSync());
  });
  model.dispose();
  return { layout, weights };
}

/** Writes a seed into each initializer below `value`; those that do not draw ignore it. */
function seedInitializers(value: Json, path: string, seed: number): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) seedInitializers(item, `${path}/${nameOf(item) ?? index}`, seed);
    return;
  }
  if (!isJsonObject(value)) return;
  for (const [key, item] of Object.entries(value)) {
    const at = `${path}/${key}`;
    if (key.endsWith('_initializer') && isJsonObject(item) && isJsonObject(item.config)) {
      item.config.seed = derivedSeed(seed, at);
    }
    seedInitializers(item, at, seed);
  }
}

const nameOf = (value: Json): string | undefined => {
  const config = isJsonObject(value) ? value.config : undefined;
  return isJsonObject(config as JsonObject) ? ((config as JsonObject).name as string | undefined) : undefined;
};

/** From 1 to 2^31: tfjs takes zero for "no seed". */
function derivedSeed(seed: number, path: string): number {
  const [high, low] = hashText(path);
  const words = new Uint32Array(4);
  philox(streamKey(seed, 'initialWeights'), [high, low, path.length, 0], words);
  return (words[0] >>> 1) + 1;
}

/** FNV-1a over UTF-16 units, forward and backward. */
function hashText(text: string): [number, number] {
  const fold = (hash: number, unit: number) => Math.imul(hash ^ unit, 0x01000193) >>> 0;
  const units = Array.from(text, (_, index) => text.charCodeAt(index));
  return [units.reduce(fold, 0x811c9dc5), units.reduceRight(fold, 0x811c9dc5)];
}

const unseeded = (): CoordError =>
  new CoordError('MODEL_INVALID', 'an initializer of the model draws random numbers without a seed', {
    hint: 'Use initializers that take a seed, and name their options "…Initializer".',
  });
