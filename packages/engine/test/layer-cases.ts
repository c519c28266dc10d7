/** Layer configurations for the sweep: each a small model around the layer in question. */
import * as tfl from '@tensorflow/tfjs-layers';

const L = tfl.layers;

export interface LayerCase {
  readonly title: string;
  readonly inputShape: number[];
  readonly dtype?: 'int32';
  /** Numbers of samples to try; 1, 3 and 16 unless told. */
  readonly counts?: number[];
  /** Largest relative difference allowed; 1e-4 unless told. */
  readonly tolerance?: number;
  /** Hidden part of the model, from the input to something that a dense head can take. */
  build(input: tfl.SymbolicTensor): tfl.SymbolicTensor;
}

type Apply = (x: tfl.SymbolicTensor) => tfl.SymbolicTensor;

const apply = (layer: tfl.layers.Layer, x: tfl.SymbolicTensor | tfl.SymbolicTensor[]) =>
  layer.apply(x) as tfl.SymbolicTensor;

const one = (title: string, inputShape: number[], make: () => tfl.layers.Layer, dtype?: 'int32'): LayerCase => ({
  title,
  inputShape,
  dtype,
  build: (input) => apply(make(), input),
});

const chain = (title: string, inputShape: number[], make: () => tfl.layers.Layer[]): LayerCase => ({
  title,
  inputShape,
  build: (input) => make().reduce((x, layer) => apply(layer, x), input),
});

const conv = (args: object) => L.conv2d({ filters: 16, kernelSize: 3, ...args });

const convolutions: LayerCase[] = [
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
];

const pools: LayerCase[] = [
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
];

const normalisations: LayerCase[] = [
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

const activations: LayerCase[] = [
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
];

const branch = (
  title: string,
  inputShape: number[],
  merge: () => tfl.layers.Layer,
  left: Apply,
  right: Apply,
): LayerCase => ({
  title,
  inputShape,
  build: (input) => apply(merge(), [left(input), right(input)]),
});

const dense =
  (units: number): Apply =>
  (x) =>
    apply(L.dense({ units, activation: 'tanh' }), x);

const merges: LayerCase[] = [
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
];

const arrangements: LayerCase[] = [
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
];

const sequences: LayerCase[] = [
  one('embedding', [6], () => L.embedding({ inputDim: 11, outputDim: 5 }), 'int32'),
  one('simple rnn', [5, 3], () => L.simpleRNN({ units: 4, recurrentInitializer: 'glorotUniform' })),
  one('simple rnn, sequences', [5, 3], () =>
    L.simpleRNN({ units: 4, returnSequences: true, recurrentInitializer: 'glorotUniform' }),
  ),
  one('gru', [5, 3], () => L.gru({ units: 4, recurrentInitializer: 'glorotUniform' })),
  one('lstm', [5, 3], () => L.lstm({ units: 4, recurrentInitializer: 'glorotUniform' })),
  one('bidirectional lstm', [5, 3], () =>
    L.bidirectional({
      layer: L.lstm({ units: 4, recurrentInitializer: 'glorotUniform' }) as tfl.RNN,
      mergeMode: 'concat',
    }),
  ),
];

const noises: LayerCase[] = [
  chain('dropout', [8], () => [L.dropout({ rate: 0.4 }), L.dense({ units: 7 }), L.dropout({ rate: 0.2 })]),
  one('dropout of nothing', [8], () => L.dropout({ rate: 0 })),
  one('dropout of whole columns', [4, 5], () =>
    L.dropout({ rate: 0.3, noiseShape: [null, 1, 5] as unknown as number[] }),
  ),
  one('spatial dropout', [4, 5], () => L.spatialDropout1d({ rate: 0.3 })),
  one('gaussian noise', [8], () => L.gaussianNoise({ stddev: 0.3 })),
  one('gaussian dropout', [8], () => L.gaussianDropout({ rate: 0.3 })),
  one('alpha dropout', [8], () => L.alphaDropout({ rate: 0.3 })),
  {
    title: 'one dropout layer applied twice',
    inputShape: [6],
    build: (input) => {
      const shared = L.dropout({ rate: 0.5 });
      return apply(L.add(), [apply(shared, dense(5)(input)), apply(shared, dense(5)(input))]);
    },
  },
];

export const LAYER_CASES: readonly LayerCase[] = [
  ...convolutions,
  ...pools,
  ...normalisations,
  ...activations,
  ...merges,
  ...arrangements,
  ...sequences,
  ...noises,
];
