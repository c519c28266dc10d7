/** Convolutions and pools of one and two dimensions. */
import * as tfl from '@tensorflow/tfjs-layers';
import { chain, conv, type LayerCase, one } from './case.js';

const L = tfl.layers;

export const convolutions: readonly LayerCase[] = [
  one('conv2d same', [8, 8, 16], () => conv({ padding: 'same' })),
  one('conv2d of one channel, same', [9, 7, 1], () => conv({ padding: 'same' })),
  { ...one('conv2d of a batch that fills no block', [6, 6, 16], () => conv({ padding: 'same' })), counts: [11, 19] },
  {
    ...one('conv2d of wide images, in bands', [9, 140, 16], () => conv({ kernelSize: [3, 1], padding: 'same' })),
    counts: [16],
  },
  {
    ...one('conv2d of wide images, in bands, stride 2', [12, 140, 16], () =>
      conv({ kernelSize: [3, 1], strides: [2, 1] }),
    ),
    counts: [16],
  },
  one('conv2d stride 2, same', [8, 8, 16], () => conv({ strides: 2, padding: 'same' })),
  one('conv2d stride 2, valid, odd size', [9, 9, 16], () => conv({ strides: 2 })),
  one('conv2d 1×1', [5, 5, 16], () => conv({ kernelSize: 1 })),
  one('conv2d 1×1 stride 2', [6, 6, 16], () => conv({ kernelSize: 1, strides: 2 })),
  one('conv2d 5×3, 3 channels to 7', [8, 8, 3], () => conv({ kernelSize: [5, 3], filters: 7 })),
  one('conv2d stem, 7×7 stride 2', [16, 16, 3], () => conv({ kernelSize: 7, strides: 2, padding: 'same' })),
  one('conv2d without bias', [6, 6, 16], () => conv({ useBias: false, activation: 'relu' })),
  one('conv2d with tanh', [6, 6, 16], () => conv({ activation: 'tanh' })),
  chain('convolution after convolution', [10, 10, 3], () => [
    conv({ filters: 32, activation: 'relu', padding: 'same' }),
    conv({ filters: 16, activation: 'relu', strides: 2, padding: 'same' }),
    conv({ filters: 20, activation: 'elu' }),
  ]),
  ...[
    { kernelSize: 1, strides: 2 },
    { kernelSize: 2, strides: 3 },
    { kernelSize: 5, strides: [2, 3] as [number, number] },
    { kernelSize: [3, 4] as [number, number], strides: [1, 2] as [number, number] },
    { kernelSize: 7, strides: 2, padding: 'valid' as const },
  ].map((window) =>
    chain(`convolution after convolution, ${JSON.stringify(window)}`, [12, 12, 3], () => [
      conv({ filters: 16, padding: 'same' }),
      conv({ filters: 32, padding: 'same', ...window }),
    ]),
  ),
  one('conv1d', [12, 6], () => L.conv1d({ filters: 8, kernelSize: 3, activation: 'relu' })),
  one('conv1d stride 2, same', [12, 16], () => L.conv1d({ filters: 16, kernelSize: 5, strides: 2, padding: 'same' })),
  one('depthwise', [8, 8, 6], () => L.depthwiseConv2d({ kernelSize: 3, padding: 'same' })),
  one('depthwise stride 2, multiplier 2', [9, 9, 4], () =>
    L.depthwiseConv2d({ kernelSize: 3, strides: 2, depthMultiplier: 2 }),
  ),
  one('separable', [8, 8, 6], () => L.separableConv2d({ filters: 16, kernelSize: 3, padding: 'same' })),
  one('transposed convolution', [5, 5, 4], () =>
    L.conv2dTranspose({ filters: 6, kernelSize: 3, strides: 2, padding: 'same' }),
  ),
  one('transposed convolution, valid, kernel 2', [4, 5, 3], () =>
    L.conv2dTranspose({ filters: 5, kernelSize: 2, strides: [2, 1], activation: 'relu' }),
  ),
  chain('transposed convolution between convolutions', [6, 6, 3], () => [
    conv({}),
    L.conv2dTranspose({ filters: 16, kernelSize: 3, strides: 2, padding: 'same', useBias: false }),
    conv({ activation: 'relu' }),
  ]),
  one('conv2d channels first', [3, 8, 8], () => conv({ dataFormat: 'channelsFirst' })),
  one('conv2d dilated', [9, 9, 16], () => conv({ dilationRate: 2, activation: 'relu' })),
  one('conv2d dilated, same, 3 channels', [9, 8, 3], () => conv({ filters: 5, dilationRate: [2, 3], padding: 'same' })),
  one('conv1d dilated', [12, 6], () => L.conv1d({ filters: 8, kernelSize: 3, dilationRate: 2 })),
  one('separable dilated', [9, 9, 4], () => L.separableConv2d({ filters: 5, kernelSize: 3, dilationRate: 2 })),
  one('depthwise channels first', [4, 7, 7], () =>
    L.depthwiseConv2d({ kernelSize: 3, dataFormat: 'channelsFirst', activation: 'relu' }),
  ),
  one('separable stride 2, multiplier 2, without bias', [9, 9, 3], () =>
    L.separableConv2d({
      filters: 7,
      kernelSize: 3,
      strides: 2,
      depthMultiplier: 2,
      useBias: false,
      activation: 'tanh',
    }),
  ),
];

export const pools: readonly LayerCase[] = [
  chain('max pool after convolution', [9, 9, 3], () => [conv({ activation: 'relu' }), L.maxPooling2d({ poolSize: 2 })]),
  chain('max pool of linear values', [10, 10, 3], () => [conv({}), L.maxPooling2d({ poolSize: 2 })]),
  one('max pool 3, stride 2, same', [9, 9, 16], () => L.maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' })),
  one('max pool 3, stride 3', [10, 10, 5], () => L.maxPooling2d({ poolSize: 3 })),
  chain('average pool after convolution', [10, 10, 3], () => [conv({}), L.averagePooling2d({ poolSize: 2 })]),
  chain('average pool 3, stride 2', [10, 10, 3], () => [conv({}), L.averagePooling2d({ poolSize: 3, strides: 2 })]),
  chain('global average pool', [7, 7, 3], () => [conv({}), L.globalAveragePooling2d({})]),
  chain('global max pool', [7, 7, 3], () => [conv({}), L.globalMaxPooling2d({})]),
  one('max pool 1d', [12, 5], () => L.maxPooling1d({ poolSize: 2 })),
  one('average pool 1d', [12, 5], () => L.averagePooling1d({ poolSize: 3 })),
  one('global average pool 1d', [12, 5], () => L.globalAveragePooling1d({})),
  one('global max pool 1d', [12, 5], () => L.globalMaxPooling1d({})),
  one('max pool channels first', [3, 8, 8], () => L.maxPooling2d({ poolSize: 2, dataFormat: 'channelsFirst' })),
  one('average pool 3, stride 2, same', [9, 9, 3], () =>
    L.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' }),
  ),
  one('max pool 1d 3, stride 2, same', [11, 5], () => L.maxPooling1d({ poolSize: 3, strides: 2, padding: 'same' })),
  one('global average pool channels first', [3, 5, 4], () => L.globalAveragePooling2d({ dataFormat: 'channelsFirst' })),
];
