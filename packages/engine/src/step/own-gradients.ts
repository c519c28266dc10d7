/** Gradients of tfjs that are replaced, for both engines. */
import { tf } from '../tensors.js';

type Shape4D = [number, number, number, number];

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

/**
 * The gradient kernel of tfjs-backend-cpu 4.22 finds a sample's rows by the stride of the small image, and so mixes samples
 * up. Enlarging by whole factors, which is all that layers do, needs no kernel: each pixel gathers its block.
 */
const resizeNearestNeighbor: tf.GradConfig = {
  kernelName: 'ResizeNearestNeighbor',
  inputsToSave: ['images'],
  gradFunc: (dy, [images]) => ({
    images: () => {
      const [count, height, width, channels] = images.shape as Shape4D;
      const [, largeHeight, largeWidth] = (dy as tf.Tensor).shape as Shape4D;
      const [rows, columns] = [largeHeight / height, largeWidth / width];
      const blocks = tf.reshape(dy as tf.Tensor, [count, height, rows, width, columns * channels]);
      const summedRows = tf.reshape(tf.sum(blocks, 2), [count, height, width, columns, channels]);
      return tf.sum(summedRows, 3);
    },
  }),
};

const REPLACEMENTS = [tile, resizeNearestNeighbor];

/** Puts the replacements in place while `work` runs. */
export function withOwnGradients<Result>(work: () => Result): Result {
  const originals = REPLACEMENTS.map(({ kernelName }) => tf.getGradient(kernelName));
  REPLACEMENTS.forEach(install);
  try {
    return work();
  } finally {
    originals.forEach(install);
  }
}

function install(gradient: tf.GradConfig): void {
  tf.unregisterGradient(gradient.kernelName);
  tf.registerGradient(gradient);
}
