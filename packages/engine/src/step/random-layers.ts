/**
 * Layers that draw random numbers take them from the engine instead of Math.random. Formulas as in tf.layers.
 *
 * Whatever else draws meets `refusingRandom` and is refused by name.
 */
import { CoordError } from '@coord/protocol';
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../tensors.js';
import { layersWithin } from './layer-tree.js';
import type { RandomDraw } from './random-values.js';
import { dropInside, isRecurrent } from './recurrent-dropout.js';

/** Where a draw's values come from: an input of the compiled step, or the generator itself. */
export type RandomSource = (draw: RandomDraw) => tf.Tensor;

export type Drawn = (shape: readonly number[], distribution: RandomDraw['distribution']) => tf.Tensor;
type Noise = (layer: NoiseLayer, x: tf.Tensor, draw: Drawn) => tf.Tensor;

interface NoiseLayer extends tfl.layers.Layer {
  readonly rate: number;
  readonly stddev: number;
  readonly noiseShape?: (number | null)[] | null;
}

/** Dropping everything or nothing needs no random numbers. */
const drops = ({ rate }: NoiseLayer): boolean => rate > 0 && rate < 1;

const noiseShapeOf = ({ noiseShape }: NoiseLayer, x: tf.Tensor): number[] =>
  noiseShape ? noiseShape.map((extent, axis) => extent ?? x.shape[axis]) : x.shape;

const dropout: Noise = (layer, x, draw) => {
  if (!drops(layer)) return x;
  const kept = draw(noiseShapeOf(layer, x), { kind: 'keep', rate: layer.rate });
  return tf.mul(x, tf.mul(kept, 1 / (1 - layer.rate)));
};

const spatialDropout: Noise = (layer, x, draw) => {
  if (!drops(layer)) return x;
  const kept = draw([x.shape[0], 1, x.shape[2] as number], { kind: 'keep', rate: layer.rate });
  return tf.mul(x, tf.mul(kept, 1 / (1 - layer.rate)));
};

const gaussianNoise: Noise = (layer, x, draw) => tf.add(x, tf.mul(draw(x.shape, { kind: 'normal' }), layer.stddev));

const gaussianDropout: Noise = (layer, x, draw) => {
  if (!drops(layer)) return x;
  const deviation = Math.sqrt(layer.rate / (1 - layer.rate));
  return tf.mul(x, tf.add(tf.mul(draw(x.shape, { kind: 'normal' }), deviation), 1));
};

/** Source: G. Klambauer et al., "Self-Normalizing Neural Networks", 2017: dropped units go to SELU's negative limit. */
const alphaDropout: Noise = (layer, x, draw) => {
  if (!drops(layer)) return x;
  const { rate } = layer;
  const limit = -1.6732632423543772 * 1.0507009873554805;
  const scale = ((1 - rate) * (1 + rate * limit ** 2)) ** -0.5;
  const kept = draw(noiseShapeOf(layer, x), { kind: 'keep', rate });
  const dropped = tf.add(tf.mul(x, kept), tf.mul(tf.sub(1, kept), limit));
  return tf.add(tf.mul(dropped, scale), -scale * limit * rate);
};

const NOISE: Readonly<Record<string, Noise>> = {
  Dropout: dropout,
  SpatialDropout1D: spatialDropout,
  GaussianNoise: gaussianNoise,
  GaussianDropout: gaussianDropout,
  AlphaDropout: alphaDropout,
};

/** Counts each layer's draws, since a layer may be applied several times in a step. */
export interface DrawCounter {
  /** A new step begins. */
  restart(): void;
}

/** Lets the model's random layers draw from `source` in training; in inference they pass their input on. */
export function drawFrom(model: tfl.LayersModel, source: RandomSource): DrawCounter {
  const counts = new Map<string, number>();
  const drawn = (layer: string): Drawn => {
    return (shape, distribution) => {
      const index = counts.get(layer) ?? 0;
      counts.set(layer, index + 1);
      return source({ layer, index, shape, distribution });
    };
  };
  for (const layer of layersWithin(model)) {
    const noise = NOISE[layer.getClassName()];
    if (noise) layer.call = callOf(layer as NoiseLayer, noise, drawn(layer.name));
    if (isRecurrent(layer)) dropInside(layer, drawn);
  }
  return { restart: () => counts.clear() };
}

function callOf(layer: NoiseLayer, noise: Noise, draw: Drawn): tfl.layers.Layer['call'] {
  return (inputs, options) => {
    const x = [inputs].flat()[0];
    return options?.training ? tf.tidy(() => noise(layer, x, draw)) : x;
  };
}

/** Runs `work`; anything that calls Math.random meanwhile is refused, since its numbers would differ on every worker. */
export function refusingRandom<Result>(refusal: () => Error, work: () => Result): Result {
  const original = Math.random;
  Math.random = () => {
    throw refusal();
  };
  try {
    return work();
  } finally {
    Math.random = original;
  }
}

/** @param where the layer, as far as it is known. */
export const unrecognisedRandom = (where = 'a layer of the model'): CoordError =>
  new CoordError('ENGINE_UNSUPPORTED', `${where} draws random numbers in a way that is not recognised`, {
    hint: 'Draw with the layers of tf.layers: Dropout, GaussianNoise and their kin.',
  });
