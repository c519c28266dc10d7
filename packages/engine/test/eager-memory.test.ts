import { describe, expect, it } from 'vitest';
import { tf } from '../src/tensors.js';
import { createEagerEngine } from '../src/tfjs/eager-engine.js';
import { randomBatch, randomWeights, stepOf } from './support.js';

describe('the eager engine', () => {
  it('keeps no tensor of a gradient, an evaluation or a prediction', async () => {
    const spec = stepOf('cnn', { inputShape: [18, 18, 1], filters: [4, 5, 4], hiddenUnits: 6, classes: 4 });
    const step = await createEagerEngine().compile(spec);
    const weights = randomWeights(spec.topology, 1);
    const batch = randomBatch(spec, 3, 2);
    const out = new Float32Array(step.layout.totalSize);
    const everything = async () => {
      await step.gradient(weights, batch, { step: 0, grain: 0 }, out);
      await step.evaluate(weights, batch);
      await step.predict(weights, batch.inputs, batch.count);
      return tf.memory().numTensors;
    };
    const afterOnce = await everything();
    await everything();
    expect(await everything()).toBe(afterOnce);
    step.dispose();
    expect(tf.memory().numTensors).toBeLessThan(afterOnce);
  });
});
