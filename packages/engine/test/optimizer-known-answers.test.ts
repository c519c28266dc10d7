/**
 * Known answers: the bits after ten steps of every rule under a cosine schedule with regularization. They must come out alike on
 * every machine and Node version; a change here breaks the resumption of existing runs with the same bits.
 */
import { createHash } from 'node:crypto';
import { regularizationSpecSchema, scheduleSpecSchema } from '@coord/protocol';
import { expect, it } from 'vitest';
import { applyRegularization, createOptimizer, learningRateAt } from '../src/optimizer/index.js';
import { LAYOUT, randomFlat, SPECS, titleOf, zeroSlots } from './optimizer-cases.js';

const schedule = scheduleSpecSchema.parse({ name: 'cosine', warmupSteps: 3, floor: 0.1 });
const regularization = regularizationSpecSchema.parse({ l1: 1e-4, l2: 1e-3, clipGlobalNorm: 2 });

/** First half of SHA-256, in the order of SPECS. */
const ANSWERS: readonly string[] = [
  'd8b4af32e10725e61f4a3dcd8d50fa16',
  '1d39cee4c84189484af082148c791c84',
  'd2ba0e8b30eb09baa6cc8863258279c8',
  '995479ecba5630b472eecf07c8572c45',
  '6a985a700822119531da8b289ec3ea9c',
  'dbb5a0fc941db1793a11e098df381230',
  '33e2e7ffe415668e84b3fe3cc16c8b9c',
  'e54228e66ee623223e285f6550d22426',
  '626adfbdda56c301544c78e19b83e739',
];

function train(index: number): string {
  const spec = SPECS[index];
  const optimizer = createOptimizer(spec, LAYOUT);
  const weights = randomFlat(LAYOUT, 1);
  const slots = zeroSlots(optimizer, LAYOUT);
  for (let step = 0; step < 10; step++) {
    const gradients = randomFlat(LAYOUT, 100 + step);
    applyRegularization(regularization, LAYOUT, weights, gradients);
    const learningRate = learningRateAt(schedule, spec.learningRate, step, 10);
    optimizer.apply({ weights, gradients, slots, step, learningRate });
  }
  const hash = createHash('sha256');
  for (const flat of [weights, ...slots.values()]) hash.update(new Uint8Array(flat.buffer));
  return hash.digest('hex').slice(0, 32);
}

it.each(SPECS.map((spec, index) => [titleOf(spec), index] as const))('%s gives the known bits', (_, index) => {
  expect(train(index)).toBe(ANSWERS[index]);
});
