/**
 * Gradients of resizing. The kernels of tfjs-backend-cpu 4.22 for them mix samples up (nearest) and rows with columns
 * (bilinear). Resizing is linear, so its gradient is a product with the transposed matrices, one for rows, one for columns.
 */
import { bilinearMatrix, nearestMatrix, type ResizeAttrs } from '../lower/interpolation.js';
import { tf } from '../tensors.js';

type Shape4D = [number, number, number, number];
/** The matrix [to, from] of one axis. */
type MatrixOf = (from: number, to: number, attrs: ResizeAttrs) => Float32Array;

/** dy [n, H, W, c] → [n, h, w, c]. */
function transposedProduct(dy: tf.Tensor4D, to: Shape4D, attrs: ResizeAttrs, matrixOf: MatrixOf): tf.Tensor {
  const [count, height, width, channels] = to;
  const [, largeHeight, largeWidth] = dy.shape;
  const matrix = (small: number, large: number) => tf.tensor3d(matrixOf(small, large, attrs), [1, large, small]);
  const rows = tf.reshape(dy, [count * largeHeight, largeWidth, channels]);
  const narrow = tf.matMul(matrix(width, largeWidth), rows, true);
  const images = tf.reshape(narrow, [count, largeHeight, width * channels]);
  return tf.reshape(tf.matMul(matrix(height, largeHeight), images, true), to);
}

/** Where each pixel became a block of pixels, it gathers that block. */
function gatheredBlocks(dy: tf.Tensor4D, [count, height, width, channels]: Shape4D): tf.Tensor {
  const [rows, columns] = [dy.shape[1] / height, dy.shape[2] / width];
  const blocks = tf.reshape(dy, [count, height, rows, width, columns * channels]);
  const summedRows = tf.reshape(tf.sum(blocks, 2), [count, height, width, columns, channels]);
  return tf.sum(summedRows, 3);
}

export const resizeNearestNeighbor: tf.GradConfig = {
  kernelName: 'ResizeNearestNeighbor',
  inputsToSave: ['images'],
  gradFunc: (dy, [images], attrs) => ({
    images: () => {
      const [slopes, shape] = [dy as tf.Tensor4D, images.shape as Shape4D];
      const { alignCorners } = attrs as ResizeAttrs;
      const isWhole = slopes.shape[1] % shape[1] === 0 && slopes.shape[2] % shape[2] === 0 && !alignCorners;
      return isWhole
        ? gatheredBlocks(slopes, shape)
        : transposedProduct(slopes, shape, attrs as ResizeAttrs, nearestMatrix);
    },
  }),
};

export const resizeBilinear: tf.GradConfig = {
  kernelName: 'ResizeBilinear',
  inputsToSave: ['images'],
  gradFunc: (dy, [images], attrs) => ({
    images: () => transposedProduct(dy as tf.Tensor4D, images.shape as Shape4D, attrs as ResizeAttrs, bilinearMatrix),
  }),
};
