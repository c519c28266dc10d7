/** Where windows fall: tfjs's own arithmetic for convolutions and pooling, so that shapes can never disagree with it. */
import { tf } from '../tensors.js';

type Conv2DInfo = tf.backend_util.Conv2DInfo;
type Shape4D = [number, number, number, number];

/** Shapes are NHWC and HWIO (depthwise: HWCM). */
export function convolutionInfo(
  x: readonly number[],
  filter: readonly number[],
  attrs: Pick<tf.Conv2DAttrs, 'strides' | 'pad' | 'dilations' | 'dimRoundingMode'>,
  depthwise: boolean,
): Conv2DInfo {
  const { strides, pad, dilations, dimRoundingMode } = attrs;
  return tf.backend_util.computeConv2DInfo(
    x as Shape4D,
    filter as Shape4D,
    strides,
    dilations ?? 1,
    pad,
    dimRoundingMode,
    depthwise,
  );
}

export function poolInfo(
  x: readonly number[],
  attrs: Pick<tf.MaxPoolAttrs, 'filterSize' | 'strides' | 'pad' | 'dimRoundingMode'>,
): Conv2DInfo {
  return tf.backend_util.computePool2DInfo(
    x as Shape4D,
    attrs.filterSize,
    attrs.strides,
    1,
    attrs.pad,
    attrs.dimRoundingMode,
  );
}

/** ONNX's `pads`: top, left, bottom, right. */
export const padsOf = ({ padInfo }: Conv2DInfo): number[] => [padInfo.top, padInfo.left, padInfo.bottom, padInfo.right];

export const isPadded = (info: Conv2DInfo): boolean => padsOf(info).some((pad) => pad !== 0);

export const isUnitStride = (info: Conv2DInfo): boolean => info.strideHeight === 1 && info.strideWidth === 1;

export const isUndilated = (info: Conv2DInfo): boolean => info.dilationHeight === 1 && info.dilationWidth === 1;

/** Rows and columns that a transposed convolution must add at the end to have the input's size again. */
export function outputPadding(info: Conv2DInfo): number[] {
  const { padInfo } = info;
  const covered = (out: number, stride: number, window: number) => (out - 1) * stride + window;
  return [
    info.inHeight +
      padInfo.top +
      padInfo.bottom -
      covered(info.outHeight, info.strideHeight, info.effectiveFilterHeight),
    info.inWidth + padInfo.left + padInfo.right - covered(info.outWidth, info.strideWidth, info.effectiveFilterWidth),
  ];
}

export type VolumeInfo = tf.backend_util.Conv3DInfo;
type Shape5D = [number, number, number, number, number];

/** Shapes are NDHWC and DHWIO. */
export function convolutionInfo3D(
  x: readonly number[],
  filter: readonly number[],
  attrs: Pick<tf.Conv3DAttrs, 'strides' | 'pad'> & Partial<Pick<tf.Conv3DAttrs, 'dilations'>>,
): VolumeInfo {
  return tf.backend_util.computeConv3DInfo(
    x as Shape5D,
    filter as Shape5D,
    attrs.strides,
    attrs.dilations ?? 1,
    attrs.pad,
  );
}

export function poolInfo3D(
  x: readonly number[],
  attrs: Pick<tf.MaxPool3DAttrs, 'filterSize' | 'strides' | 'pad' | 'dimRoundingMode'>,
): VolumeInfo {
  const { filterSize, strides, pad, dimRoundingMode } = attrs;
  return tf.backend_util.computePool3DInfo(x as Shape5D, filterSize, strides, 1, pad, dimRoundingMode);
}
