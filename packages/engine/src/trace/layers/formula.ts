/** Layers whose own formulation compiles badly, and what is traced in its place. */
import type * as tfl from '@tensorflow/tfjs-layers';
import type { tf } from '../../tensors.js';

/** What the layer computes, or undefined where its own `call` must do. */
export type LayerFormula = (
  layer: tfl.layers.Layer,
  inputs: readonly tf.Tensor[],
  options: { readonly training?: boolean },
) => tf.Tensor | undefined;
