/** Initializers of our own layers, in the form in which tf.layers writes them into topologies. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';

export type Initializer = ReturnType<typeof tfl.initializers.zeros>;

/** `{className, config}` as it stands in a topology, or nothing. */
export type InitializerConfig = { readonly className: string; readonly config: tf.serialization.ConfigDict };

export function initializerFrom(
  given: Initializer | InitializerConfig | undefined,
  fallback: () => Initializer,
): Initializer {
  if (given === undefined || given === null) return fallback();
  if (!('className' in given && 'config' in given)) return given as Initializer;
  const { className, config } = given as InitializerConfig;
  const entry = tf.serialization.SerializationMap.getMap().classNameMap[className];
  if (!entry) throw new Error(`there is no initializer "${className}"`);
  return entry[1](entry[0], config) as unknown as Initializer;
}

export const initializerConfig = (initializer: Initializer): tf.serialization.ConfigDict => ({
  className: initializer.getClassName(),
  config: initializer.getConfig(),
});

export const glorotUniform = (): Initializer => tfl.initializers.glorotUniform({});

/** Normal with the deviation that GPT-2 uses for embeddings. */
export const smallNormal = (): Initializer => tfl.initializers.randomNormal({ mean: 0, stddev: 0.02 });
