/** What the layers' regularizers add to the loss. */
import type * as tfl from '@tensorflow/tfjs-layers';
import type { tf } from '../tensors.js';
import { cellsOf, layersWithin } from './layer-tree.js';

/** Scalars, one a regularizer. tf.layers itself overlooks those of recurrent cells. */
export function penaltiesOf(model: tfl.LayersModel): tf.Scalar[] {
  const ofCells = layersWithin(model).flatMap(cellsOf).flatMap(lossesOf);
  return [...model.calculateLosses(), ...ofCells];
}

const lossesOf = (layer: tfl.layers.Layer): tf.Scalar[] => layer.calculateLosses();
