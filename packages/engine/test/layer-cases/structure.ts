/** Layers that merge, move or repeat values. */
import * as tfl from '@tensorflow/tfjs-layers';
import { apply, branch, chain, conv, dense, type LayerCase, one } from './case.js';

const L = tfl.layers;

export const merges: readonly LayerCase[] = [
  {
    ...chain('dense on tall sequences, deep', [256, 4], () =>
      [5, 600, 7].map((units) => L.dense({ units, activation: 'relu' })),
    ),
    counts: [2],
  },
  branch('add', [6], () => L.add(), dense(5), dense(5)),
  branch('multiply', [6], () => L.multiply(), dense(5), dense(5)),
  branch('average', [6], () => L.average(), dense(5), dense(5)),
  branch('maximum', [6], () => L.maximum(), dense(5), dense(5)),
  branch('minimum', [6], () => L.minimum(), dense(5), dense(5)),
  branch('concatenate', [6], () => L.concatenate(), dense(5), dense(3)),
  branch('dot', [6], () => L.dot({ axes: -1 }), dense(5), dense(5)),
  branch(
    'residual convolution',
    [6, 6, 16],
    () => L.add(),
    (x) => apply(conv({ padding: 'same' }), x),
    (x) => x,
  ),
  branch(
    'concatenated convolutions',
    [6, 6, 3],
    () => L.concatenate(),
    (x) => apply(conv({ padding: 'same', activation: 'relu' }), x),
    (x) => apply(conv({ padding: 'same', filters: 4 }), x),
  ),
  branch('concatenate along the first axis', [6, 2], () => L.concatenate({ axis: 1 }), dense(5), dense(5)),
  branch('dot, normalised', [6], () => L.dot({ axes: -1, normalize: true }), dense(5), dense(5)),
  branch('dot of sequences', [4, 3], () => L.dot({ axes: 2 }), dense(5), dense(5)),
  branch('dot along other axes', [4, 3], () => L.dot({ axes: [1, 1] }), dense(5), dense(2)),
  {
    title: 'three branches',
    inputShape: [6],
    build: (input) => apply(L.average(), [dense(4)(input), dense(4)(input), dense(4)(input)]),
  },
];

export const arrangements: readonly LayerCase[] = [
  one('flatten', [3, 4], () => L.flatten()),
  one('reshape', [12], () => L.reshape({ targetShape: [3, 4] })),
  one('permute', [3, 4, 5], () => L.permute({ dims: [3, 1, 2] })),
  one('repeat vector', [5], () => L.repeatVector({ n: 3 })),
  one('zero padding', [5, 5, 3], () =>
    L.zeroPadding2d({
      padding: [
        [1, 2],
        [0, 3],
      ],
    }),
  ),
  one('cropping', [8, 8, 3], () =>
    L.cropping2D({
      cropping: [
        [1, 2],
        [0, 3],
      ],
    }),
  ),
  chain('upsampling after convolution', [5, 5, 3], () => [conv({}), L.upSampling2d({ size: [2, 2] })]),
  one('time distributed', [4, 6], () => L.timeDistributed({ layer: L.dense({ units: 3 }) })),
  chain('reshape with an open axis', [12], () => [L.reshape({ targetShape: [-1, 4] }), L.globalAveragePooling1d({})]),
  one('permute of two axes', [3, 5], () => L.permute({ dims: [2, 1] })),
  one('zero padding channels first', [3, 4, 4], () => L.zeroPadding2d({ padding: 1, dataFormat: 'channelsFirst' })),
  one('cropping channels first', [3, 6, 6], () => L.cropping2D({ cropping: 1, dataFormat: 'channelsFirst' })),
  chain('bilinear upsampling after convolution', [5, 4, 3], () => [
    conv({ padding: 'same' }),
    L.upSampling2d({ size: [2, 3], interpolation: 'bilinear' }),
    conv({}),
  ]),
  one('upsampling channels first', [3, 4, 4], () => L.upSampling2d({ size: [2, 2], dataFormat: 'channelsFirst' })),
  chain('rescaling', [5, 4, 3], () => [conv({}), L.rescaling({ scale: 0.5, offset: 0.1 })]),
  chain('center crop after convolution', [8, 7, 3], () => [
    conv({ padding: 'same' }),
    L.centerCrop({ height: 5, width: 3 }),
  ]),
  one('center crop', [8, 7, 3], () => L.centerCrop({ height: 4, width: 4 })),
  one('category encoding', [5], () => L.categoryEncoding({ numTokens: 6, outputMode: 'multiHot' }), 'int32'),
  one('category counts', [5], () => L.categoryEncoding({ numTokens: 6, outputMode: 'count' }), 'int32'),
  chain('time distributed convolution', [3, 6, 6, 2], () => [
    L.timeDistributed({ layer: L.conv2d({ filters: 3, kernelSize: 3, activation: 'relu' }) }),
  ]),
  chain('time distributed batch norm', [3, 6], () => [L.timeDistributed({ layer: L.batchNormalization({}) })]),
];
