/** What the tests and the processes that they start agree on: the state of a step, a pure function. */
import { createLayout, viewOf } from '@coord/protocol';

/** @param {number} width scales the size: about 1.2 kB of weights for 1 */
const layoutOf = (width = 1) =>
  createLayout([
    { name: 'dense/kernel', shape: [17 * width, 13], role: 'trainable' },
    { name: 'dense/bias', shape: [13], role: 'trainable' },
    { name: 'norm/moving_mean', shape: [], role: 'statistic' },
    { name: 'out/kernel', shape: [13, 4], role: 'trainable' },
  ]);

/** @returns {import('@coord/protocol').TrainingState} */
export function stateOfStep(step, width = 1) {
  const layout = layoutOf(width);
  const flat = (seed) => {
    const values = new Float32Array(layout.totalSize);
    for (const parameter of layout.parameters) {
      viewOf(parameter, values).forEach((_, i, view) => {
        view[i] = Math.fround(seed + step * 0.1 + (i + parameter.offset) / 7);
      });
    }
    return values;
  };
  return {
    step,
    layout,
    weights: flat(0),
    slots: new Map([
      ['firstMoment', flat(-50)],
      ['secondMoment', flat(1e-3)],
    ]),
    exponents: Uint8Array.from({ length: layout.blockCount }, (_, block) => (block * 37 + step) % 256),
  };
}

export const infoOfStep = (step) => ({
  runId: 'run-1',
  epoch: Math.floor(step / 10),
  position: (step % 10) * 64,
  seed: 42,
  configSha256: 'ab'.repeat(32),
  config: { model: 'cnn', optimizer: { name: 'adam' }, 10: [1, null, 'ü'] },
});
