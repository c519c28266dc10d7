import type * as tfl from '@tensorflow/tfjs-layers';
import { dilation } from './dilation.js';
import { centerCrop } from './images.js';
import { batchNorm, layerNorm } from './normalisation.js';
import type { Repair } from './repair.js';
import { softmax } from './softmax.js';

const REPAIRS: Readonly<Record<string, Repair>> = {
  Conv1D: dilation,
  Conv2D: dilation,
  Conv3D: dilation,
  SeparableConv2D: dilation,
  BatchNormalization: batchNorm,
  LayerNormalization: layerNorm,
  CenterCrop: centerCrop,
  Softmax: softmax,
};

/** Puts the repairs in place, for both engines. */
export function repairLayers(layers: readonly tfl.layers.Layer[]): void {
  for (const layer of layers) {
    const repaired = REPAIRS[layer.getClassName()]?.(layer, layer.call.bind(layer));
    if (repaired) layer.call = repaired;
  }
}
