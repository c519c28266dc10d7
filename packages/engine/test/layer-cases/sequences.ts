/** Embeddings and recurrent layers. */
import * as tfl from '@tensorflow/tfjs-layers';
import { chain, type LayerCase, one } from './case.js';

const L = tfl.layers;

export const sequences: readonly LayerCase[] = [
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
  chain('embedding that masks zeros, lstm', [6], () => [
    L.embedding({ inputDim: 11, outputDim: 5, maskZero: true }),
    L.lstm({ units: 4, recurrentInitializer: 'glorotUniform' }),
  ]),
  chain('masking, gru', [5, 3], () => [
    L.masking({ maskValue: 0 }),
    L.gru({ units: 4, returnSequences: true, recurrentInitializer: 'glorotUniform' }),
  ]),
  chain('stacked layers', [5, 3], () => [
    L.lstm({ units: 4, returnSequences: true, recurrentInitializer: 'glorotUniform' }),
    L.gru({ units: 3, goBackwards: true, recurrentInitializer: 'glorotUniform' }),
  ]),
  one('stacked cells', [5, 3], () =>
    L.rnn({
      cell: [
        L.lstmCell({ units: 4, recurrentInitializer: 'glorotUniform' }),
        L.gruCell({ units: 3, recurrentInitializer: 'glorotUniform' }),
        L.simpleRNNCell({ units: 2, recurrentInitializer: 'glorotUniform' }),
      ],
    }),
  ),
  one('bidirectional gru, sequences, summed', [4, 3], () =>
    L.bidirectional({
      layer: L.gru({ units: 4, returnSequences: true, recurrentInitializer: 'glorotUniform' }) as tfl.RNN,
      mergeMode: 'sum',
    }),
  ),
  {
    title: 'states of one layer begin another',
    inputShape: [4, 3],
    build(input) {
      const encoder = L.lstm({ units: 4, returnState: true, recurrentInitializer: 'glorotUniform' });
      const [, ...initialState] = encoder.apply(input) as tfl.SymbolicTensor[];
      const decoder = L.lstm({ units: 4, recurrentInitializer: 'glorotUniform' });
      return decoder.apply(input, { initialState }) as tfl.SymbolicTensor;
    },
  },
  one('convolutional lstm', [3, 5, 5, 2], () =>
    L.convLstm2d({ filters: 3, kernelSize: 3, recurrentInitializer: 'glorotUniform' }),
  ),
  one('convolutional lstm, sequences, same', [3, 4, 4, 2], () =>
    L.convLstm2d({
      filters: 16,
      kernelSize: 3,
      padding: 'same',
      returnSequences: true,
      recurrentInitializer: 'glorotUniform',
    }),
  ),
];
