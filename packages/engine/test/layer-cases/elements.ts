/** Normalisations and activations. */
import * as tfl from '@tensorflow/tfjs-layers';
import { chain, conv, type LayerCase, one } from './case.js';

const L = tfl.layers;

export const normalisations: readonly LayerCase[] = [
  one('batch norm of rank 2', [10], () => L.batchNormalization({})),
  one('batch norm of rank 3', [6, 5], () => L.batchNormalization({ momentum: 0.9 })),
  chain('batch norm between convolutions', [8, 8, 3], () => [
    conv({ useBias: false }),
    L.batchNormalization({ epsilon: 1e-5 }),
    L.activation({ activation: 'relu' }),
    conv({ filters: 32, useBias: false }),
    L.batchNormalization({}),
    L.activation({ activation: 'relu' }),
    conv({ filters: 5, useBias: false }),
    L.batchNormalization({ momentum: 0.5 }),
  ]),
  one('layer norm', [6, 9], () => L.layerNormalization({})),
  one('layer norm of rank 2', [7], () => L.layerNormalization({ epsilon: 1e-5 })),
  one('batch norm without scale and offset', [4, 4, 3], () => L.batchNormalization({ scale: false, center: false })),
  one('batch norm over the first axis', [3, 4], () => L.batchNormalization({ axis: 1 })),
  one('layer norm over two axes', [4, 5, 3], () => L.layerNormalization({ axis: [2, 3] })),
  one('layer norm without scale', [6, 5], () => L.layerNormalization({ scale: false })),
];

const ACTIVATIONS = [
  'elu',
  'selu',
  'relu',
  'relu6',
  'linear',
  'sigmoid',
  'hardSigmoid',
  'softplus',
  'softsign',
  'tanh',
  'softmax',
  'logSoftmax',
  'swish',
  'mish',
  'gelu',
  'gelu_new',
] as const;

export const activations: readonly LayerCase[] = [
  ...ACTIVATIONS.map((activation) =>
    one(`dense with ${activation}`, [7], () => L.dense({ units: 9, activation: activation as 'relu' })),
  ),
  one('leaky relu', [8], () => L.leakyReLU({ alpha: 0.2 })),
  one('elu layer', [8], () => L.elu({ alpha: 1 })),
  one('prelu', [8], () => L.prelu({})),
  one('thresholded relu', [8], () => L.thresholdedReLU({ theta: 0.3 })),
  one('relu with maximum', [8], () => L.reLU({ maxValue: 0.6 })),
  one('softmax layer', [8], () => L.softmax({})),
  chain('activation after convolution', [6, 6, 3], () => [conv({}), L.activation({ activation: 'swish' })]),
  one('leaky relu without slope', [8], () => L.leakyReLU({ alpha: 0 })),
  one('prelu with shared axes', [4, 4, 3], () => L.prelu({ sharedAxes: [1, 2] })),
  one('softmax layer over the first axis', [4, 5], () => L.softmax({ axis: 1 })),
  one('softmax over the last of three axes', [4, 5], () => L.activation({ activation: 'softmax' })),
];
