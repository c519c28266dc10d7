/** A layer's one output on symbolic inputs. */
import type * as tfl from '@tensorflow/tfjs-layers';

export const applied = (layer: tfl.layers.Layer, x: tfl.SymbolicTensor | tfl.SymbolicTensor[]): tfl.SymbolicTensor =>
  layer.apply(x) as tfl.SymbolicTensor;
