/**
 * Dropout inside recurrent layers: a cell makes one mask a gate in a sequence's first step and keeps it to the last.
 * Source: Y. Gal and Z. Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks", 2016.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import { tf } from '../tensors.js';
import { cellsOf } from './layer-tree.js';
import type { Drawn } from './random-layers.js';

interface Cell extends tfl.layers.Layer {
  /** Makes a mask that is already scaled by 1 / (1 − rate); tf.layers takes its own where there is none. */
  dropoutFunc?: (ones: tf.Tensor, rate: number) => tf.Tensor;
  dropoutMask?: tf.Tensor | tf.Tensor[] | null;
  recurrentDropoutMask?: tf.Tensor | tf.Tensor[] | null;
}

export const isRecurrent = (layer: tfl.layers.Layer): boolean => cellsOf(layer).length > 0;

/** Lets the layer's cells take their masks from `drawn`. */
export function dropInside(layer: tfl.layers.Layer, drawn: (layer: string) => Drawn): void {
  const cells = cellsOf(layer) as readonly Cell[];
  for (const cell of cells) cell.dropoutFunc = (ones, rate) => maskOf(drawn(cell.name), ones.shape, rate);
  const own = layer.call.bind(layer);
  layer.call = (inputs, options) => {
    const result = own(inputs, options);
    // Some of tf.layers' recurrent layers would keep their masks for the next sequence.
    cells.forEach(forgetMasks);
    return result;
  };
}

function maskOf(draw: Drawn, shape: readonly number[], rate: number): tf.Tensor {
  return tf.mul(draw(shape, { kind: 'keep', rate }), 1 / (1 - rate));
}

function forgetMasks(cell: Cell): void {
  tf.dispose(
    [cell.dropoutMask, cell.recurrentDropoutMask].flat().filter((mask) => mask !== null && mask !== undefined),
  );
  cell.dropoutMask = null;
  cell.recurrentDropoutMask = null;
}
