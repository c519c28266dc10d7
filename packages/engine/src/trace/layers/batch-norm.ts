/**
 * Batch normalisation in training with its gradient in closed form. tfjs differentiates each of its operations, which makes
 * some thirty passes over the activations; this makes seven.
 * Source: S. Ioffe and C. Szegedy, "Batch Normalization", 2015, section 3.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import { channelAffine } from '../own-kernels.js';
import type { LayerFormula } from './formula.js';

interface BatchNormLayer extends tfl.layers.Layer {
  readonly axis: number;
  readonly momentum: number;
  readonly epsilon: number;
  readonly gamma?: tfl.LayerVariable;
  readonly beta?: tfl.LayerVariable;
  readonly movingMean: tfl.LayerVariable;
  readonly movingVariance: tfl.LayerVariable;
}

const isLastAxis = (axis: number, rank: number): boolean => axis === -1 || axis === rank - 1;

export const batchNorm: LayerFormula = (layer, [x], { training }) => {
  const { axis, momentum, epsilon, gamma, beta, movingMean, movingVariance } = layer as BatchNormLayer;
  if (!training || !gamma || !beta || !isLastAxis(axis, x.rank)) return undefined;
  const axes = Array.from({ length: x.rank - 1 }, (_, index) => index);
  const { y, mean, variance } = normalised(x, gamma.read(), beta.read(), axes, epsilon);
  moveAverage(movingMean, mean, momentum);
  moveAverage(movingVariance, variance, momentum);
  return y;
};

function normalised(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, axes: number[], epsilon: number) {
  let statistics: { mean: tf.Tensor; variance: tf.Tensor } | undefined;
  const custom = tf.customGrad((...args) => {
    const [input, scale, offset] = args as tf.Tensor[];
    const save = args[3] as unknown as tf.GradSaveFunc;
    const share = input.shape[input.rank - 1] / input.size;
    const mean = tf.mul(tf.sum(input, axes), share);
    const centred = channelAffine(input, tf.onesLike(mean), tf.neg(mean));
    const variance = tf.mul(tf.sum(tf.mul(centred, centred), axes), share);
    const inverse = tf.rsqrt(tf.add(variance, epsilon));
    statistics = { mean, variance };
    save([centred, inverse, scale]);
    const value = channelAffine(centred, tf.mul(inverse, scale), offset);
    return { value, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => gradients(dy, saved, axes, share) };
  });
  const y = custom(x, gamma, beta);
  return { y, ...(statistics as { mean: tf.Tensor; variance: tf.Tensor }) };
}

/** With c = x − mean and r = 1/√(variance + ε): dx = γr · (dy − mean(dy) − c · r² · mean(dy · c)). */
function gradients(dy: tf.Tensor, [centred, inverse, scale]: tf.Tensor[], axes: number[], share: number): tf.Tensor[] {
  const slopes = tf.sum(dy, axes);
  const products = tf.sum(tf.mul(dy, centred), axes);
  const factor = tf.mul(scale, inverse);
  const meanProduct = tf.mul(tf.mul(products, share), tf.square(inverse));
  const correction = channelAffine(
    centred,
    tf.neg(tf.mul(factor, meanProduct)),
    tf.neg(tf.mul(factor, tf.mul(slopes, share))),
  );
  const direct = channelAffine(dy, factor, tf.zerosLike(factor));
  return [tf.add(direct, correction), tf.mul(products, inverse), slopes];
}

/** As tf.layers moves it: average − (average − value) · (1 − momentum). */
function moveAverage(average: tfl.LayerVariable, value: tf.Tensor, momentum: number): void {
  const before = average.read();
  average.write(tf.sub(before, tf.mul(tf.sub(before, value), 1 - momentum)));
}
