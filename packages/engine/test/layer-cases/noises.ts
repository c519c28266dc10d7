/** Layers that draw random numbers. */
import * as tfl from '@tensorflow/tfjs-layers';
import { apply, chain, dense, type LayerCase, one } from './case.js';

const L = tfl.layers;

export const noises: readonly LayerCase[] = [
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
  ...(['simpleRNN', 'gru', 'lstm'] as const).map((kind) =>
    one(`${kind} with dropout`, [4, 3], () =>
      L[kind]({ units: 4, dropout: 0.3, recurrentDropout: 0.4, recurrentInitializer: 'glorotUniform' }),
    ),
  ),
  one('stacked cells with dropout', [4, 3], () =>
    L.rnn({
      cell: [
        L.lstmCell({ units: 4, dropout: 0.3, recurrentInitializer: 'glorotUniform' }),
        L.gruCell({ units: 3, recurrentDropout: 0.3, recurrentInitializer: 'glorotUniform' }),
      ],
    }),
  ),
  one('bidirectional lstm with dropout', [4, 3], () =>
    L.bidirectional({
      layer: L.lstm({ units: 4, dropout: 0.5, recurrentInitializer: 'glorotUniform' }) as tfl.RNN,
    }),
  ),
  one('convolutional lstm with dropout', [3, 4, 4, 2], () =>
    L.convLstm2d({
      filters: 3,
      kernelSize: 3,
      dropout: 0.3,
      recurrentDropout: 0.3,
      recurrentInitializer: 'glorotUniform',
    }),
  ),
  one('time distributed dropout', [4, 5], () => L.timeDistributed({ layer: L.dropout({ rate: 0.3 }) })),
];
