/** Convolutions and pools of three dimensions. */
import * as tfl from '@tensorflow/tfjs-layers';
import { chain, type LayerCase, one } from './case.js';

const L = tfl.layers;

const conv3d = (args: object) => L.conv3d({ filters: 4, kernelSize: 3, ...args });

export const volumes: readonly LayerCase[] = [
  one('conv3d', [4, 5, 4, 3], () => conv3d({ activation: 'relu' })),
  one('conv3d same, stride 2', [4, 5, 5, 2], () => conv3d({ padding: 'same', strides: 2, filters: 5 })),
  one('conv3d of one channel, 1×3×2', [3, 5, 4, 1], () => conv3d({ kernelSize: [1, 3, 2], strides: [1, 2, 1] })),
  one('conv3d 1×1×1, stride 2', [4, 4, 4, 3], () => conv3d({ kernelSize: 1, strides: 2 })),
  one('conv3d channels first', [3, 4, 4, 4], () => conv3d({ dataFormat: 'channelsFirst' })),
  chain('convolution after convolution, three dimensions', [5, 5, 5, 2], () => [
    conv3d({ padding: 'same', activation: 'tanh' }),
    conv3d({ filters: 3 }),
  ]),
  one('transposed conv3d, stride 2, same', [2, 3, 2, 3], () =>
    L.conv3dTranspose({ filters: 4, kernelSize: 3, strides: 2, padding: 'same' }),
  ),
  one('transposed conv3d, valid', [2, 2, 3, 3], () => L.conv3dTranspose({ filters: 2, kernelSize: 2, useBias: false })),
  one('max pool 3d', [4, 5, 6, 3], () => L.maxPooling3d({ poolSize: 2 })),
  one('max pool 3d 3, stride 2, same', [4, 5, 5, 2], () =>
    L.maxPooling3d({ poolSize: 3, strides: 2, padding: 'same' }),
  ),
  one('average pool 3d', [4, 5, 6, 3], () => L.averagePooling3d({ poolSize: 2 })),
  one('average pool 3d 3, stride 2', [5, 5, 5, 2], () => L.averagePooling3d({ poolSize: [3, 2, 3], strides: 2 })),
  chain('pool after convolution, three dimensions', [5, 5, 5, 2], () => [
    conv3d({ padding: 'same', activation: 'relu' }),
    L.maxPooling3d({ poolSize: 2 }),
  ]),
  chain('batch norm of rank 5', [3, 3, 3, 2], () => [
    conv3d({ padding: 'same', useBias: false }),
    L.batchNormalization({}),
    L.activation({ activation: 'relu' }),
  ]),
];
