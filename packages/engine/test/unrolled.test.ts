import { topologyOf } from '@coord/models';
import * as tfl from '@tensorflow/tfjs-layers';
import { expect, it } from 'vitest';
import { compileWarnings } from '../src/inspect/unrolled.js';

const { bidirectional, dense, gru, lstm, timeDistributed } = tfl.layers;

const warningsOf = (layer: tfl.layers.Layer) => compileWarnings(topologyOf(tfl.sequential({ layers: [layer] })));
const inputShape = (length: number) => ({ inputShape: [length, 2] });

it.each([
  ['a long lstm', lstm({ name: 'it', units: 2, ...inputShape(128) }), /layer "it" \(LSTM\).*128 steps/],
  [
    'both directions',
    bidirectional({ name: 'it', layer: gru({ units: 2 }) as tfl.RNN, ...inputShape(64) }),
    /\(Bidirectional\).*128 steps/,
  ],
  [
    'a long time distribution',
    timeDistributed({ name: 'it', layer: dense({ units: 2 }), ...inputShape(200) }),
    /\(TimeDistributed\).*200 steps/,
  ],
] as const)('%s is announced', (_, layer, message) => {
  expect(warningsOf(layer)).toEqual([expect.stringMatching(message)]);
});

it('short ones are not', () => {
  expect(warningsOf(lstm({ units: 2, ...inputShape(100) }))).toEqual([]);
});
