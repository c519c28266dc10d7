/** Gradients of tfjs that are replaced or missing, for both engines. */
import { tf } from '../tensors.js';
import { resizeBilinear, resizeNearestNeighbor } from './resize-gradients.js';

/** tfjs adds up one slice a repetition, which is right but makes thousands of nodes: LayerNorm tiles to its whole width. */
const tile: tf.GradConfig = {
  kernelName: 'Tile',
  inputsToSave: ['x'],
  gradFunc: (dy, [x], attrs) => ({
    x: () => {
      const { reps } = attrs as unknown as tf.TileAttrs;
      const split = x.shape.flatMap((extent, axis) => [reps[axis], extent]);
      const repeats = x.shape.map((_, axis) => 2 * axis);
      return tf.reshape(tf.sum(tf.reshape(dy as tf.Tensor, split), repeats), x.shape);
    },
  }),
};

/** What a transposed convolution in three dimensions computes; tfjs has no gradient for it. */
const conv3DBackpropInput: tf.GradConfig = {
  kernelName: 'Conv3DBackpropInputV2',
  inputsToSave: ['dy', 'filter'],
  gradFunc: (slope, [dy, filter], attrs) => {
    const { strides, pad } = attrs as unknown as tf.Conv3DBackpropInputV2Attrs;
    const dx = slope as tf.Tensor5D;
    return {
      dy: () => tf.conv3d(dx, filter as tf.Tensor5D, strides as [number, number, number], pad),
      filter: () => {
        const inputs = { x: dx, dy } as unknown as tf.NamedTensorMap;
        const window = { strides, pad, filterShape: filter.shape } as unknown as tf.NamedAttrMap;
        return tf.engine().runKernel('Conv3DBackpropFilterV2', inputs, window) as tf.Tensor;
      },
    };
  },
};

const OWN_GRADIENTS = [tile, resizeNearestNeighbor, resizeBilinear, conv3DBackpropInput];

/** Puts our own in place while `work` runs. */
export function withOwnGradients<Result>(work: () => Result): Result {
  const originals = OWN_GRADIENTS.map(({ kernelName }) => tf.getGradient(kernelName));
  OWN_GRADIENTS.forEach(install);
  try {
    return work();
  } finally {
    for (const { kernelName } of OWN_GRADIENTS) tf.unregisterGradient(kernelName);
    for (const original of originals) if (original) tf.registerGradient(original);
  }
}

function install(gradient: tf.GradConfig): void {
  if (tf.getGradient(gradient.kernelName)) tf.unregisterGradient(gradient.kernelName);
  tf.registerGradient(gradient);
}
