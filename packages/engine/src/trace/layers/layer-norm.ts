/**
 * Layer normalisation over the last axis with its gradient in closed form.
 * Source: J. Ba et al., "Layer Normalization", 2016.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import { layerNormGradient, layerNorm as normalise } from '../own-kernels.js';
import type { LayerFormula } from './formula.js';

interface LayerNormLayer extends tfl.layers.Layer {
  readonly axis: number | number[];
  readonly epsilon: number;
  readonly gamma?: tfl.LayerVariable;
  readonly beta?: tfl.LayerVariable;
}

export const layerNorm: LayerFormula = (layer, [x]) => {
  const { axis, epsilon, gamma, beta } = layer as LayerNormLayer;
  const axes = [axis].flat();
  const isLastAxis = axes.length === 1 && (axes[0] === -1 || axes[0] === x.rank - 1);
  if (!isLastAxis || !gamma || !beta) return undefined;
  const custom = tf.customGrad((...args) => {
    const [input, scale, offset] = args as tf.Tensor[];
    const save = args[3] as unknown as tf.GradSaveFunc;
    const { y, mean, inverse } = normalise(input, scale, offset, epsilon);
    save([input, mean, inverse, scale]);
    return { value: y, gradFunc };
  });
  return custom(x, gamma.read(), beta.read());
};

function gradFunc(dy: tf.Tensor, [x, mean, inverse, scale]: tf.Tensor[]): tf.Tensor[] {
  const { dx, dScale, dOffset } = layerNormGradient(dy, x, { mean, inverse }, scale);
  return [dx, dScale, dOffset];
}
