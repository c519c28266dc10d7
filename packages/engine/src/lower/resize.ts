/** Resizing images. */
import type { tf } from '../tensors.js';
import type { Node } from '../trace/graph.js';
import type { KernelRule, KernelRules } from './context.js';
import { nearestPlaces } from './interpolation.js';

type Shape4D = [number, number, number, number];

/** Rows and columns that each pixel becomes, where the image is enlarged by whole factors. */
function wholeFactors({ inputs: { images }, outputs: [out], attrs }: Node): [number, number] | undefined {
  const factors: [number, number] = [out.shape[1] / images.shape[1], out.shape[2] / images.shape[2]];
  return factors.every(Number.isInteger) && !attrs.alignCorners ? factors : undefined;
}

const nearest: KernelRule = (node, context) => {
  const { images } = node.inputs;
  const [out] = node.outputs;
  const factors = wholeFactors(node);
  if (factors) {
    const scales = context.onnx.constant('float32', [1, 1, ...factors], [4]);
    const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
    return context.set(out, 'nchw', context.op('Resize', [context.nchw(images), '', scales], attributes));
  }
  const attrs = node.attrs as unknown as tf.ResizeNearestNeighborAttrs;
  const resized = [1, 2].reduce((name, axis) => {
    const places = nearestPlaces(images.shape[axis], out.shape[axis], attrs);
    return context.op('Gather', [name, context.onnx.integers(places)], { axis });
  }, context.plain(images));
  context.set(out, 'plain', resized);
};

const bilinear: KernelRule = (node, context) => {
  const { alignCorners, halfPixelCenters } = node.attrs as unknown as tf.ResizeBilinearAttrs;
  const [out] = node.outputs;
  const [count, height, width, channels] = out.shape as Shape4D;
  const mode = alignCorners ? 'align_corners' : halfPixelCenters ? 'half_pixel' : 'asymmetric';
  const operands = [context.nchw(node.inputs.images), '', '', context.onnx.integers([count, channels, height, width])];
  context.set(out, 'nchw', context.op('Resize', operands, { mode: 'linear', coordinate_transformation_mode: mode }));
};

export const resizeRules: KernelRules = { ResizeNearestNeighbor: nearest, ResizeBilinear: bilinear };
