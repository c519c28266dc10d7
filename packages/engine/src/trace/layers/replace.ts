/** Puts the formulas in place of the layers' own, for tracing; the eager engine keeps tf.layers as it is. */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../../tensors.js';
import { batchNorm } from './batch-norm.js';
import { categoryEncoding } from './category-encoding.js';
import type { LayerFormula } from './formula.js';
import { replaceGelu } from './gelu.js';
import { layerNorm } from './layer-norm.js';

const FORMULAS: Readonly<Record<string, LayerFormula>> = {
  BatchNormalization: batchNorm,
  LayerNormalization: layerNorm,
  CategoryEncoding: categoryEncoding,
};

export function replaceFormulas(layers: readonly tfl.layers.Layer[]): void {
  for (const layer of layers) {
    const formula = FORMULAS[layer.getClassName()];
    if (formula) layer.call = callOf(layer, formula);
    replaceGelu(layer);
  }
}

function callOf(layer: tfl.layers.Layer, formula: LayerFormula): tfl.layers.Layer['call'] {
  const own = layer.call.bind(layer);
  return (inputs, options) =>
    tf.tidy(() => formula(layer, [inputs].flat(), options ?? {}) ?? (own(inputs, options) as tf.Tensor));
}
